"""Plans and their states on the terminal."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.matrix import Line, Matrix
from bench.plan import Plan

if TYPE_CHECKING:
    from bench.results import Record


def show_plan(found: Matrix) -> None:
    """Prints every cell with what is there of it already and what it costs, then how long the rest takes."""
    console = Console(highlight=False)
    for line in _words(found.plan):
        console.print(Text(line))
    console.print(_table(found))
    for reason in dict.fromkeys(reason for line in found.lines for reason in line.reasons):
        console.print(Text(f"failed: {reason}"))
    for each in found.refused:
        console.print(Text(f"refused: {each.label} ({each.method}): {each.reason}"))
    console.print(f"{len(found.distinct)} cells, {found.tokens:,} training tokens, {_short(found.flops)} FLOPs")
    console.print(_time(found) if found.left else "nothing is left to run")


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
    suite, facts, spec = plan.suite, plan.suite.facts, plan.suite.spec
    holds = ", ".join(f"{count:,} {split}" for split, count in facts.sequences.items())
    batch, steps = spec.training.batch_size, spec.budget.in_steps(spec.training.batch_size * facts.length)
    own = ", but for arms with budgets of their own" if len({cell.tokens for cell in plan.cells}) > 1 else ""
    tokens = f"{steps * batch * facts.length:,} tokens"
    return [
        f"{suite.name}: {spec.question}",
        f"{facts.source}: {facts.vocab_size} tokens in the vocabulary, sequences of {facts.length}: {holds}",
        *(() if facts.are_read else facts.notes[-1:]),
        f"Each cell is trained for {steps:,} steps of {batch:,} sequences: {tokens}{own}.",
        *(suite.winners.tell() if suite.winners else ()),
    ]


def _table(found: Matrix) -> Table:
    """A row for each arm and seed: its cell, what is there of it, and its FLOPs; and for what is refused."""
    uneven = len({line.cell.tokens for line in found.lines if line.cell.role == "arm"}) > 1
    table = Table("arm", "method", "seed", box=None, header_style="bold", pad_edge=False)
    table.add_column("cell", min_width=12)
    table.add_column("stages")
    if uneven:
        table.add_column("tokens", justify="right")
    for name in ("training", "evaluation"):
        table.add_column(f"{name}\nFLOPs", justify="right", min_width=len(name))
    for line in found.lines:
        cell, tokens = line.cell, [f"{line.cell.tokens:,}"] if uneven else []
        flops = (_short(line.training), _short(line.evaluation))
        words = (cell.arm, cell.method, str(cell.seed), cell.id, _states(line), *tokens, *flops)
        table.add_row(*(Text(word) for word in words))
    for each in found.refused:
        table.add_row(*(Text(word) for word in (each.label, each.method, "", "", "refused")))
    return table


def _states(line: Line) -> str:
    """The states of a cell's stages; one word where all are the same."""
    states: dict[str, list[str]] = {}
    for step in line.steps:
        states.setdefault(step.name, []).append(step.state)
    every = {state for of_name in states.values() for state in of_name}
    return every.pop() if len(every) == 1 else ", ".join(f"{name} {_joined(each)}" for name, each in states.items())


def _joined(states: list[str]) -> str:
    """The state of all stages of a name, or of how many of them each is."""
    count = Counter(states)
    parts = (f"{number} of {len(states)} {state}" for state, number in count.items())
    return states[0] if len(count) == 1 else " and ".join(parts)


def _short(flops: float) -> str:
    return f"{flops:.2e}".replace("e+", "e")


def _time(found: Matrix) -> str:
    """How long that takes on the device that the suite asks for, in plain words."""
    speed, words = found.speed
    minutes = found.left / speed / 60
    long = f"{float(f'{minutes / 60:.2g}'):,.0f} hours" if minutes >= 120 else f"{max(1, math.ceil(minutes))} min"
    return f"left to run: {_short(found.left)} FLOPs, about {long} at a sustained {words}"
