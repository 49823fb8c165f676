"""Refresh the tables, figures and outputs of the documentation's gallery from finished runs (`make gallery`).

A document marks what it shows. `<!-- table: SUITE/deltas.md -->` and `<!-- end -->` enclose a table,
`<!-- output: bench compare A B -->` and `<!-- end -->` the output of a command, and `![...](gallery/SUITE/curves.png)`
is a picture.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BLOCK = re.compile(r"(<!-- (table|output): (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(gallery/([^)]+\.png)\)")
WIDTH = 100  # characters in a line of output


def find(reports: Path, name: str) -> Path:
    """The path of a report's file. Raises FileNotFoundError if the suite has not been run."""
    path = reports / name
    if not path.is_file():
        suite = Path(name).parts[0]
        raise FileNotFoundError(f"{path} does not exist; run the suite {suite} first: make gallery")
    return path


def run_command(command: str) -> str:
    """The output of a bench command as a code block. Raises CalledProcessError if the command fails."""
    words = [sys.executable, "-P", "-m", *shlex.split(command)]
    settings = os.environ | {"COLUMNS": str(WIDTH), "TERM": "dumb", "NO_COLOR": "1"}
    result = subprocess.run(words, capture_output=True, text=True, check=True, env=settings)
    lines = [line.rstrip() for line in result.stdout.strip("\n").splitlines()]
    return "\n".join(["```text", *lines, "```", ""])


def refresh(document: Path, runs: Path) -> list[Path]:
    """Update the document's tables, outputs and pictures from the reports under `runs`; returns the picture paths.

    Commands run in the current directory. Raises FileNotFoundError, before writing anything, if a report is missing.
    """
    reports, text = runs / "reports", document.read_text(encoding="utf-8")
    pictures = {name: find(reports, name) for name in PICTURE.findall(text)}

    def fill(block: re.Match[str]) -> str:
        start, kind, name, end = block.groups()
        content = find(reports, name).read_text(encoding="utf-8") if kind == "table" else run_command(name)
        return f"{start}\n{content}\n{end}"

    text = BLOCK.sub(fill, text)
    document.write_text(text, encoding="utf-8")
    paths = []
    for name, source in pictures.items():
        path = document.parent / "gallery" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        paths.append(path)
    return paths


def main(arguments: Sequence[str]) -> None:
    """`python -m reports.gallery DOCUMENT`, run in the folder that holds runs/."""
    (document,) = arguments
    for path in refresh(Path(document), Path("runs")):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
