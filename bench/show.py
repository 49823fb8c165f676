"""Plans and their states on the terminal."""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import cell as record
from bench.flops import costs
from bench.plan import Cell, Plan
from bench.run import folder_of

if TYPE_CHECKING:
    from bench.results import Record

Costs = dict[str, float]  # FLOPs of a cell's stages, by their folders

SUSTAINED = {  # FLOPs a second over a whole run: an assumption, for a first idea of how long it takes
    "cuda": (100e12, "100 TFLOP/s, one GPU in bfloat16"),
    "cpu": (0.05e12, "0.05 TFLOP/s, two CPU cores"),
}


def show_plan(plan: Plan, runs: Path) -> None:
    """Prints every cell with what is there of it already and what it costs, then how long the rest takes."""
    console = Console(highlight=False)
    cells = {cell.id: cell for cell in plan.all}.values()  # equal science runs once
    priced = {cell.id: costs(plan.suite, cell) for cell in cells}
    tokens, total = sum(cell.tokens for cell in cells), sum(sum(cost.values()) for cost in priced.values())
    left = sum(_missing(folder_of(runs, cell), cell, priced[cell.id]) for cell in cells)
    for line in _words(plan):
        console.print(Text(line))
    console.print(_table(plan, runs, priced))
    console.print(f"{len(cells)} cells, {tokens:,} training tokens, {_short(total)} FLOPs")
    console.print(_time(left, plan.suite.spec.execution.device) if left else "nothing is left to run")


def show_status(found: "Record") -> None:
    """Prints the state of each stage, with the reasons of failures."""
    console = Console()
    table = Table("arm", "seed", "cell", "stage", "state", "reason", box=None, header_style="bold")
    stages = found.table.drop_duplicates(["arm", "seed", "cell", "stage"])
    for row in stages.to_dict("records"):
        words = (row[name] for name in ("arm", "seed", "cell", "stage", "status", "reason"))
        table.add_row(*(Text(str(word)) for word in words))
    console.print(table)


def _words(plan: Plan) -> list[str]:
    """The suite's question, its data and its budget."""
    suite, facts, first = plan.suite, plan.suite.facts, plan.cells[0]
    holds = ", ".join(f"{count:,} {split}" for split, count in facts.sequences.items())
    batch = suite.spec.training.batch_size
    return [
        f"{suite.name}: {suite.spec.question}",
        f"{facts.source}: {facts.vocab_size} tokens in the vocabulary, sequences of {facts.length}: {holds}",
        *(() if facts.are_read else facts.notes[-1:]),
        f"Each cell is trained for {first.steps:,} steps of {batch:,} sequences: {first.tokens:,} tokens.",
    ]


def _table(plan: Plan, runs: Path, priced: dict[str, Costs]) -> Table:
    """A row for each arm and seed: its cell, what is there of it, and its FLOPs."""
    table = Table("arm", "method", "seed", box=None, header_style="bold", pad_edge=False)
    table.add_column("cell", min_width=12)
    table.add_column("stages")
    for name in ("training", "evaluation"):
        table.add_column(f"{name}\nFLOPs", justify="right", min_width=len(name))
    for cell in plan.all:
        training = priced[cell.id].get("train", 0.0)
        flops = (_short(training), _short(sum(priced[cell.id].values()) - training))
        words = (cell.arm, cell.method, cell.seed, cell.id, _states(folder_of(runs, cell), cell), *flops)
        table.add_row(*(Text(str(word)) for word in words))
    return table


def _states(folder: Path, cell: Cell) -> str:
    """The states of a cell's stages; one word where all are the same."""
    states: dict[str, list[str]] = {}
    for stage in cell.stages:
        states.setdefault(stage.name, []).append(_state(folder, stage.folder))
    every = {state for of_name in states.values() for state in of_name}
    return every.pop() if len(every) == 1 else ", ".join(f"{name} {_joined(each)}" for name, each in states.items())


def _joined(states: list[str]) -> str:
    """The state of all stages of a name, or of how many of them each is."""
    count = Counter(states)
    parts = (f"{number} of {len(states)} {state}" for state, number in count.items())
    return states[0] if len(count) == 1 else " and ".join(parts)


def _missing(folder: Path, cell: Cell, cost: Costs) -> float:
    """The FLOPs of the stages that have no result."""
    return sum(cost[stage.folder] for stage in cell.stages if record.status(folder, stage.folder)[0] != "done")


def _state(folder: Path, stage: str) -> str:
    state, _ = record.status(folder, stage)
    return {"done": "cached", "missing": "to run"}.get(state, state)


def _short(flops: float) -> str:
    return f"{flops:.2e}".replace("e+", "e")


def _time(flops: float, device: str) -> str:
    """How long that takes on the device that the suite asks for, in plain words."""
    kind = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    speed, words = SUSTAINED[kind]
    minutes = flops / speed / 60
    long = f"{float(f'{minutes / 60:.2g}'):,.0f} hours" if minutes >= 120 else f"{max(1, math.ceil(minutes))} min"
    return f"left to run: {_short(flops)} FLOPs, about {long} at a sustained {words}"
