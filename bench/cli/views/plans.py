"""Plans and their states on the terminal."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.plan.cells import Plan
from bench.plan.fairness import describe_match
from bench.plan.power import describe_power
from bench.plan.status import CellStatus, PlanStatus, join_statuses

if TYPE_CHECKING:
    from bench.results.suite_record import Record


def show_plans(found: Sequence[PlanStatus]) -> None:
    """Prints the plans of all data sets of a suite, and where there are several what they cost together."""
    console = Console(highlight=False)
    for each in found:
        show_plan(each)
        if len(found) > 1:
            console.print()
    if len(found) > 1:
        console.print(Text(f"all {len(found)} data sets:"))
        _show_total(join_statuses(found), console)


def show_plan(found: PlanStatus) -> None:
    """Prints every cell with what is there of it already and what it costs, then how long the rest takes."""
    console = Console(highlight=False)
    for line in (*_words(found.plan), *([describe_match(found.match)] if len(found.plan.suite.spec.arms) > 1 else [])):
        console.print(Text(line))
    for row in _table(found):
        console.print(row, soft_wrap=True)
    for reason in dict.fromkeys(reason for line in found.cells for reason in line.reasons):
        console.print(Text(f"failed: {reason}"))
    for each in found.refused:
        console.print(Text(f"refused: {each.label} ({each.method}): {each.reason}"))
    _show_total(found, console)
    for line in describe_power(found.power):
        console.print(Text(line))


def _show_total(found: PlanStatus, console: Console) -> None:
    """Prints how many cells there are, what they cost, and how long the rest takes."""
    console.print(f"{len(found.distinct)} cells, {found.tokens:,} training tokens, {_short(found.flops)} FLOPs")
    for line in _time(found) if found.to_run else ["nothing is left to run"]:
        console.print(Text(line))


def show_status(found: "Record") -> None:
    """Prints the state of each stage, with the reasons of failures."""
    console = Console()
    table = Table("arm", "seed", "cell", "stage", "state", "reason", box=None, header_style="bold")
    stages = found.table.drop_duplicates(["arm", "seed", "cell", "stage", "status", "reason"])
    for row in stages.to_dict("records"):
        words = (row[name] for name in ("arm", "seed", "cell", "stage", "status", "reason"))
        table.add_row(*(Text(str(word)) for word in words))
    console.print(table)


def _words(plan: Plan) -> list[str]:
    """The suite's question, its data and its budget."""
    suite, facts, spec = plan.suite, plan.suite.facts, plan.suite.spec
    holds = ", ".join(f"{count:,} {split}" for split, count in facts.sequences.items())
    own = ", but for arms with budgets of their own" if any(arm.budget for arm in spec.arms) else ""
    return [
        f"{suite.name}: {spec.question}",
        f"{facts.source}: {facts.vocab_size} tokens in the vocabulary, sequences of {facts.length}: {holds}",
        *(() if facts.is_read else facts.notes[-1:]),
        f"Each cell is trained for {_budget(plan)}{own}.",
        *(suite.winners.describe() if suite.winners else ()),
    ]


def _budget(plan: Plan) -> str:
    """The suite's budget, in whole steps where they are the same for every method."""
    spec, length = plan.suite.spec, plan.suite.facts.length
    batch = f"steps of {spec.training.batch_size:,} sequences"
    if spec.budget.flops is not None:
        return f"{_short(spec.budget.flops)} FLOPs in whole {batch}"
    tokens = spec.training.batch_size * length
    steps = spec.budget.in_steps(tokens)
    return f"{steps:,} {batch}: {steps * tokens:,} tokens"


def _table(found: PlanStatus) -> list[Text]:
    """A line for each arm and seed: its cell, what is there of it, and its FLOPs; and for what is refused.

    In plain columns, since the tables of rich take longer for a thousand cells than everything else.
    """
    uneven = len({line.cell.tokens for line in found.cells if line.cell.role == "arm"}) > 1
    names = ["arm", "method", "seed", "cell", "stages", *(["steps", "tokens"] if uneven else [])]
    rows = [["", "", "", "", "", *(["", ""] if uneven else []), "training", "evaluation"], [*names, "FLOPs", "FLOPs"]]
    for line in found.cells:
        cell, sizes = line.cell, [f"{line.cell.steps:,}", f"{line.cell.tokens:,}"] if uneven else []
        flops = (_short(line.training), _short(line.evaluation))
        rows.append([cell.arm, cell.method, str(cell.seed), cell.id, _states(line), *sizes, *flops])
    rows += [[each.label, each.method, "", "", "refused"] for each in found.refused]
    widths = [max(map(cell_len, column)) for column in zip_longest(*rows, fillvalue="")]
    lines = [_aligned(row, widths, left=5) for row in rows]
    return [Text(line, "bold" if place < 2 else "") for place, line in enumerate(lines)]


def _aligned(row: list[str], widths: list[int], left: int) -> str:
    """A row in columns, of which so many are aligned to the left and the others to the right."""
    gaps = [" " * (width - cell_len(word)) for word, width in zip(row, widths, strict=False)]
    cells = [
        word + gap if place < left else gap + word for place, (word, gap) in enumerate(zip(row, gaps, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _states(status: CellStatus) -> str:
    """The states of a cell's stages; one word where all are the same."""
    states: dict[str, list[str]] = {}
    for stage in status.stages:
        states.setdefault(stage.name, []).append(stage.state)
    every = {state for of_name in states.values() for state in of_name}
    return every.pop() if len(every) == 1 else ", ".join(f"{name} {_joined(each)}" for name, each in states.items())


def _joined(states: list[str]) -> str:
    """The state of all stages of a name, or of how many of them each is."""
    count = Counter(states)
    parts = (f"{number} of {len(states)} {state}" for state, number in count.items())
    return states[0] if len(count) == 1 else " and ".join(parts)


def _short(flops: float) -> str:
    return f"{flops:.2e}".replace("e+", "e")


def _time(found: PlanStatus) -> list[str]:
    """How long that takes, by what was measured on the device that the suite asks for, in plain words."""
    time, left = found.time, f"left to run: {_short(found.remaining)} FLOPs"
    if time.forecast is None:
        return [f"{left}; how long that takes is unknown here: {time.reason}"]
    device = _device(time.device)
    if not time.is_known:
        *kinds, last = time.forecast.unknown
        missing = f"{', '.join(kinds)} or {last}" if kinds else last
        way = "to know it, run one cell of such a network with a small budget, or a small scale that has it"
        return [f"{left}; how long that takes is unknown: no {missing} on such a network was measured on {device}", way]
    forecast, count = time.forecast, sum(speed.measured for speed in time.forecast.speeds)
    ends = [_long(forecast.least), _long(forecast.most)]
    spread = f" ({' to '.join(ends)})" if forecast.most > 1.05 * forecast.least and ends[0] != ends[1] else ""
    stages = f"{count} stage{'s' * (count != 1)}"
    lines = [f"{left}, about {_long(forecast.seconds)}{spread} by the speed of {stages} measured on {device}"]
    lines += ["in part by other methods on the same network"] * any(not speed.method for speed in forecast.speeds)
    starts = len({cell.id for cell, _ in found.to_run})
    lines.append(f"without the start of {starts} process{'es' * (starts > 1)}, some seconds each")
    without = f"without {' and '.join(found.uncounted)}, whose cost is not known beforehand"
    return lines + [without] * bool(found.uncounted)


def _device(device: dict[str, str]) -> str:
    threads = f", {device['threads']} thread{'s' * (device['threads'] != '1')}" if device["threads"] else ""
    return f"{device['device']}{threads}, {device['precision']}"


def _long(seconds: float) -> str:
    """A time, to two digits."""
    for size, unit in ((3600, "hours"), (60, "min")):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):,g} {unit}"
    return f"{math.ceil(seconds)} s"
