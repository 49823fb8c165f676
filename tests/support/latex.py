"""Tables in a real TeX, for several tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

HEAD = r"\documentclass{article}\usepackage{booktabs,graphicx}\usepackage[margin=2cm]{geometry}\begin{document}"


def compile_latex(folder: Path, *tables: str) -> None:
    """Passes where TeX takes the tables and none is wider than the page. The skip says why there is no TeX."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine to compile the tables with")
    assert tables
    (folder / "all.tex").write_text(HEAD + "\n\\clearpage ".join(tables) + r"\end{document}", encoding="utf-8")
    made = subprocess.run(["pdflatex", "-halt-on-error", "all"], cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Overfull" not in made.stdout, made.stdout[-3000:]
