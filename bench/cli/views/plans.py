"""Plans and their status on the terminal."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bench.engine.storage import BEGUN, describe_status
from bench.plan.cells import Plan
from bench.plan.fairness import describe_match
from bench.plan.forecast import Forecast
from bench.plan.statistical_power import describe_power
from bench.plan.status import CellStatus, PlanStatus, join_statuses
from bench.plan.warnings import find_warnings
from bench.results.suite_record import SuiteRecord, describe_unverified

LEFT_COLUMNS = 5  # columns of text; those of numbers are aligned to the right


def show_plans(statuses: Sequence[PlanStatus]) -> None:
    """Print the plan of each data set, and the total of several."""
    console = Console(highlight=False)
    for status in statuses:
        show_plan(status)
        if len(statuses) > 1:
            console.print()
    if len(statuses) > 1:
        console.print(Text(f"all {len(statuses)} data sets:"))
        _show_total(join_statuses(statuses), console)


def show_plan(status: PlanStatus) -> None:
    """Print every cell with its state and cost, then how long the rest takes and what the seeds can show."""
    console = Console(highlight=False)
    lines = describe_plan(status.plan)
    if len(status.plan.suite.spec.arms) > 1:
        lines.append(describe_match(status.match))
    for line in lines:
        console.print(Text(line))
    for row in format_table(status):
        console.print(row, soft_wrap=True)

    reasons = [reason for cell in status.cells for reason in cell.reasons]
    for reason in dict.fromkeys(reasons):
        console.print(Text(reason), soft_wrap=True)
    for arm in status.refused:
        console.print(Text(f"refused: {arm.label} ({arm.method}): {arm.reason}"))
    _show_total(status, console)
    for line in describe_power(status.power, len(status.plan.suite.spec.seeds)):
        console.print(Text(line))
    for warning in find_warnings(status.plan):
        console.print(Text(f"warning: {warning.message}"), soft_wrap=True)


def _show_total(status: PlanStatus, console: Console) -> None:
    """Print the number of cells, their cost, and how long the rest takes."""
    flops = format_flops(status.flops)
    console.print(f"{len(status.distinct)} cells, {status.tokens:,} training tokens, {flops} FLOPs")
    lines = describe_time(status) if status.to_run else ["nothing is left to run"]
    for line in lines:
        console.print(Text(line))
    for line in status.describe_differences():
        console.print(Text(line), soft_wrap=True)


def show_status(record: SuiteRecord) -> None:
    """Print the state of each stage of a record, with the reasons of failures."""
    columns = ["arm", "seed", "cell", "stage", "status", "reason"]
    table = Table(
        "arm", "seed", "cell", "stage", Column("state", no_wrap=True), "reason", box=None, header_style="bold"
    )
    for row in record.table.drop_duplicates(columns).to_dict("records"):
        if row["status"] in BEGUN:  # the reason says how far it is
            row |= {"status": describe_status(row["status"], row["reason"]), "reason": ""}
        table.add_row(*(Text(str(row[name])) for name in columns))
    console = Console()
    console.print(table)
    for note in (*record.training_warnings, *([describe_unverified(record)] if record.unverified else [])):
        console.print(Text(note), soft_wrap=True)


def describe_plan(plan: Plan) -> list[str]:
    """The suite's question, data, budget, and tuned settings."""
    suite, facts, spec = plan.suite, plan.suite.facts, plan.suite.spec
    sizes = ", ".join(f"{count:,} {split}" for split, count in facts.sequences.items())
    lines = [
        f"{suite.name}: {spec.question}",
        f"{facts.source}: {facts.vocab_size} tokens in the vocabulary, sequences of {facts.length}: {sizes}",
    ]
    if not facts.is_read:
        lines += facts.notes[-1:]
    exception = ", except for arms with their own budgets" if any(arm.budget for arm in spec.arms) else ""
    lines.append(f"Each cell is trained for {_describe_budget(plan)}{exception}.")
    if suite.winners:
        lines += suite.winners.describe()
    return lines


def _describe_budget(plan: Plan) -> str:
    """The suite's budget, in whole steps if they are the same for every method."""
    spec, length = plan.suite.spec, plan.suite.facts.length
    batch = f"steps of {spec.training.batch_size:,} sequences"
    if spec.budget.flops is not None:
        return f"{format_flops(spec.budget.flops)} FLOPs in whole {batch}"
    tokens = spec.training.batch_size * length
    steps = spec.budget.in_steps(tokens)
    return f"{steps:,} {batch}: {steps * tokens:,} tokens"


def format_table(status: PlanStatus) -> list[Text]:
    """A row for each arm and seed, with its cell, states and FLOPs, and one for each refused arm.

    Plain columns: with a thousand cells, rich's tables take longer than everything else.
    """
    has_sizes = len({line.cell.tokens for line in status.cells if line.cell.role == "arm"}) > 1
    sizes = ["steps", "tokens"] if has_sizes else []
    rows = [
        [""] * (LEFT_COLUMNS + len(sizes)) + ["training", "evaluation"],
        ["arm", "method", "seed", "cell", "stages", *sizes, "FLOPs", "FLOPs"],
    ]
    for line in status.cells:
        cell = line.cell
        row = [cell.arm, cell.method, str(cell.seed), cell.id, _describe_states(line)]
        if has_sizes:
            row += [f"{cell.steps:,}", f"{cell.tokens:,}"]
        rows.append([*row, format_flops(line.training), format_flops(line.evaluation)])
    rows += [[arm.label, arm.method, "", "", "refused"] for arm in status.refused]

    widths = [max(map(cell_len, column)) for column in zip_longest(*rows, fillvalue="")]
    return [Text(_align(row, widths), "bold" if number < 2 else "") for number, row in enumerate(rows)]


def _align(row: list[str], widths: list[int]) -> str:
    """Pad a row to the widths of its columns: text to the left, numbers to the right."""
    cells = []
    for number, (text, width) in enumerate(zip(row, widths, strict=False)):
        padding = " " * (width - cell_len(text))
        cells.append(text + padding if number < LEFT_COLUMNS else padding + text)
    return "  ".join(cells).rstrip()


def _describe_states(status: CellStatus) -> str:
    """The states of a cell's stages; one word if all are the same."""
    states: dict[str, list[str]] = {}
    for stage in status.stages:
        states.setdefault(stage.name, []).append(stage.state)
    distinct = {stage.state for stage in status.stages}
    if len(distinct) == 1:
        return distinct.pop()
    return ", ".join(f"{name} {_count_states(of_name)}" for name, of_name in states.items())


def _count_states(states: list[str]) -> str:
    """The state of all stages of a name, or how many of them are in each."""
    counts = Counter(states)
    if len(counts) == 1:
        return states[0]
    return " and ".join(f"{count} of {len(states)} {state}" for state, count in counts.items())


def format_flops(flops: float) -> str:
    """FLOPs to three digits, such as 1.23e12."""
    return f"{flops:.2e}".replace("e+", "e")


def describe_time(status: PlanStatus) -> list[str]:
    """How long the rest takes, by the speeds measured on the device that the suite asks for."""
    time, remaining = status.time, f"left to run: {format_flops(status.remaining)} FLOPs"
    if time.forecast is None:
        return [f"{remaining}; how long that takes is unknown here: {time.reason}"]
    device = _describe_device(time.device)
    if not time.is_known:
        *kinds, last = time.forecast.unknown
        kind = f"{', '.join(kinds)} or {last}" if kinds else last
        return [
            f"{remaining}; how long that takes is unknown: no {kind} on such a network was timed on {device}",
            "to find out, run one cell of such a network with a small budget, or a small scale that has it",
        ]

    count = sum(speed.measured for speed in time.forecast.speeds)
    stages = f"{count} stage{'' if count == 1 else 's'}"
    lines = [f"{remaining}, about {_describe_seconds(time.forecast)} at the speed of {stages} timed on {device}"]
    if any(not speed.method for speed in time.forecast.speeds):
        lines.append("in part, other methods on the same network were timed")
    starts = len({cell.id for cell, _ in status.to_run})
    lines.append(f"not counting the start of {starts} process{'es' if starts > 1 else ''}, a few seconds each")
    if status.uncounted:
        lines.append(f"not counting {' and '.join(status.uncounted)}, whose cost is unknown")
    return lines


def _describe_seconds(forecast: Forecast) -> str:
    """The forecast, with its range if the measured speeds differ."""
    ends = [format_seconds(forecast.least), format_seconds(forecast.most)]
    has_range = forecast.most > 1.05 * forecast.least and ends[0] != ends[1]
    return format_seconds(forecast.seconds) + (f" ({' to '.join(ends)})" if has_range else "")


def _describe_device(device: dict[str, str]) -> str:
    threads = ""
    if device["threads"]:
        threads = f", {device['threads']} thread{'' if device['threads'] == '1' else 's'}"
    return f"{device['device']}{threads}, {device['precision']}"


def format_seconds(seconds: float) -> str:
    """A time to two digits."""
    for size, unit in ((3600, "hours"), (60, "min")):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):,g} {unit}"
    return f"{math.ceil(seconds)} s"
