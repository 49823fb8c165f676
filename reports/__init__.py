"""Reports of a record: its table in every format, its figures, and one self-contained page."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench.results import Record
from reports.formats import format_latex, format_markdown, list_numbers, show
from reports.frontiers import plot_frontiers
from reports.learned import plot_learned
from reports.page import render
from reports.plots import plot_curves
from reports.quality import build_quality
from reports.samplers import build_samplers
from reports.tables import build_main
from reports.trajectories import plot_unmasked


def report(record: Record, folder: Path) -> None:
    """Writes every report, prints the table and names the page: what `bench run` and `bench report` call."""
    index = write(record, folder)[-1]
    console = Console()
    for table in filter(None, (build_main(record), build_samplers(record), build_quality(record))):
        show(table, console)
    console.print(Text(f"page: {index}"), soft_wrap=True)


def write(record: Record, folder: Path) -> list[Path]:
    """The paths of every report written to the folder, index.html last; the same record gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    table = build_main(record)
    texts = {
        "table.md": format_markdown(table),
        "table.tex": format_latex(table),
        "table.csv": list_numbers(table).to_csv(index=False, lineterminator="\n"),
        "tidy.csv": record.table.to_csv(index=False, lineterminator="\n"),
    }
    others = {"samplers": build_samplers(record), "quality": build_quality(record)}
    for name, other in others.items():
        if other:
            texts[f"{name}.md"], texts[f"{name}.tex"] = format_markdown(other), format_latex(other)
    if whole := build_quality(record, whole=True):
        texts["quality.csv"] = list_numbers(whole).to_csv(index=False, lineterminator="\n")
    plots = (plot_curves, plot_learned, plot_frontiers, plot_unmasked)
    figures = [path for plot in plots for path in plot(record, folder)]
    texts["index.html"] = render(
        record, {path.stem: path.read_text("utf-8") for path in figures if path.suffix == ".svg"}
    )
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    *rest, index = [folder / name for name in texts]
    return [*rest, *figures, index]
