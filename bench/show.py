"""Plans and their states on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import cell as record
from bench.plan import Plan
from bench.run import folder_of

if TYPE_CHECKING:
    from bench.results import Record


def show_plan(plan: Plan, runs: Path) -> None:
    """Prints every cell with what is there of it already."""
    facts = plan.suite.facts
    console = Console()
    console.print(Text(f"{plan.suite.name}: {plan.suite.spec.question}"))
    tokens = sum(cell.tokens for cell in plan.cells)
    console.print(
        f"{facts.source}: {facts.vocab_size} tokens in the vocabulary, sequences of {facts.length}: "
        + ", ".join(f"{count:,} {split}" for split, count in facts.sequences.items())
    )
    table = Table("arm", "method", "seed", "cell", "steps", "tokens", "stages", box=None, header_style="bold")
    for cell in plan.cells:
        states = (f"{stage.name} {_state(folder_of(runs, cell), stage.folder)}" for stage in cell.stages)
        words = (cell.arm, cell.method, cell.seed, cell.id, f"{cell.steps:,}", f"{cell.tokens:,}", ", ".join(states))
        table.add_row(*(Text(str(word)) for word in words))
    console.print(table)
    console.print(f"{len(plan.cells)} cells, {tokens:,} training tokens")


def show_status(found: "Record") -> None:
    """Prints the state of each stage, with the reasons of failures."""
    console = Console()
    table = Table("arm", "seed", "cell", "stage", "state", "reason", box=None, header_style="bold")
    stages = found.table.drop_duplicates(["arm", "seed", "cell", "stage"])
    for row in stages.to_dict("records"):
        words = (row[name] for name in ("arm", "seed", "cell", "stage", "status", "reason"))
        table.add_row(*(Text(str(word)) for word in words))
    console.print(table)


def _state(folder: Path, stage: str) -> str:
    state, _ = record.status(folder, stage)
    return {"done": "cached", "missing": "to run"}.get(state, state)
