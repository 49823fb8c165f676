"""The gallery shows every kind of table and figure, and is made from reports alone."""

import re
from pathlib import Path

import pytest
from PIL import Image

from reports.gallery import BLOCK, PICTURE, refresh
from reports.page.html_page import FIGURES
from tests.conftest import ROOT
from tests.reports.test_latex import KINDS

DOCUMENT = ROOT / "docs" / "gallery.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
SMALL = """# A gallery

<!-- table: toy/table.md -->
<!-- end -->

![Curves](gallery/toy/curves.png) and <!-- output: bench methods show ar -->
stale words
<!-- end -->
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of results with the report of one suite."""
    folder = tmp_path / "runs" / "reports" / "toy"
    folder.mkdir(parents=True)
    (folder / "table.md").write_text("| Method |\n| ------ |\n| AR     |\n", encoding="utf-8")
    Image.effect_noise((300, 200), 60).save(folder / "curves.png")
    return tmp_path / "runs"


def test_the_gallery_shows_every_kind_of_figure_and_of_table():
    assert {Path(name).stem for name in PICTURE.findall(TEXT)} == set(FIGURES)
    tables = {Path(name).stem for _, kind, name, _ in BLOCK.findall(TEXT) if kind == "table"}
    assert tables == KINDS | {"across"}


def test_what_the_gallery_shows_is_there():
    for name in PICTURE.findall(TEXT):
        with Image.open(DOCUMENT.parent / "gallery" / name) as picture:
            assert picture.width > 1000, name
    for block in BLOCK.finditer(TEXT):
        rows = re.findall(r"^(?:\| |[^<`\s])", block.group(0), re.MULTILINE)
        assert len(rows) > 3, block.group(3)


def test_the_suites_of_the_gallery_and_its_commands_are_those_of_the_make_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    target = makefile[makefile.index("\ngallery:") :].split("\n\n")[0]
    suites = {
        Path(name).parts[0]
        for name in [*PICTURE.findall(TEXT), *(b[2] for b in BLOCK.findall(TEXT) if b[1] == "table")]
    }
    commands = re.findall(r"bench run suites/(\w+)\.yaml(?: --scale (\w+))?", target)
    assert {"-".join(filter(None, command)) for command in commands} == suites
    assert all((ROOT / "suites" / f"{name}.yaml").is_file() for name, _ in commands)


def test_tables_outputs_and_pictures_are_taken_from_the_reports(runs: Path, tmp_path: Path):
    document = tmp_path / "gallery.md"
    document.write_text(SMALL, encoding="utf-8")
    (picture,) = refresh(document, runs)
    text = document.read_text(encoding="utf-8")
    assert "| AR     |" in text
    assert "stale words" not in text
    assert "Left-to-right" in text
    assert picture == tmp_path / "gallery" / "toy" / "curves.png"
    assert picture.read_bytes() == (runs / "reports" / "toy" / "curves.png").read_bytes()
    refresh(document, runs)
    assert document.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("lost", ["table.md", "curves.png"])
def test_a_missing_report_is_named_with_the_way_out_and_nothing_is_written(runs: Path, tmp_path: Path, lost: str):
    (runs / "reports" / "toy" / lost).unlink()
    document = tmp_path / "gallery.md"
    document.write_text(SMALL, encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=rf"{lost} does not exist; run the suite toy first: make gallery"):
        refresh(document, runs)
    assert document.read_text(encoding="utf-8") == SMALL
    assert not (tmp_path / "gallery").exists()
