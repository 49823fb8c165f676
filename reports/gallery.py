"""The gallery of the documentation: its tables, figures and outputs taken anew from what was run (`make gallery`).

A document names what it shows: `<!-- table: SUITE/deltas.md -->` stands above a table and `<!-- end -->` below it, a
picture is `![...](gallery/SUITE/curves.png)`, and `<!-- output: bench compare A B -->` stands above what that prints.
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
WIDTH = 100  # characters of what a command prints


def find(reports: Path, name: str) -> Path:
    """A file of a report; FileNotFoundError names the suite that makes it."""
    path = reports / name
    if not path.is_file():
        suite = Path(name).parts[0]
        raise FileNotFoundError(f"{path} is not there; run the suite {suite} first: make gallery")
    return path


def take_output(command: str) -> str:
    """What a command of bench prints, as a block of text. Raises CalledProcessError where it fails."""
    words = [sys.executable, "-m", *shlex.split(command)]
    settings = os.environ | {"COLUMNS": str(WIDTH), "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=settings)
    lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    return "\n".join(["```text", *lines, "```", ""])


def refresh(document: Path, runs: Path) -> list[Path]:
    """Puts tables and outputs into the document and its pictures beside it, from the reports under `runs`; the paths
    of the pictures. Commands are run where this is called.

    Raises FileNotFoundError, before anything is written, where a report is missing.
    """
    reports, text = runs / "reports", document.read_text(encoding="utf-8")
    pictures = {name: find(reports, name) for name in PICTURE.findall(text)}

    def fill(block: re.Match[str]) -> str:
        head, kind, name, end = block.groups()
        fresh = find(reports, name).read_text(encoding="utf-8") if kind == "table" else take_output(name)
        return f"{head}\n{fresh}\n{end}"

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
    """`python -m reports.gallery DOCUMENT`, in the folder that holds runs/."""
    (document,) = arguments
    for path in refresh(Path(document), Path("runs")):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
