"""A comparison on the terminal and as JSON."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.engine.metric_definitions import METRICS
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results.compare.compare import Comparison
from bench.results.compare.gate import REGRESSION, Margin, decide, describe_decision, describe_margin
from bench.results.compare.setting_differences import Changes
from bench.results.compare.unpaired_difference import Difference
from bench.results.statistics.significance_tests import describe_flips
from bench.results.statistics.verdicts import NO_VERDICT, SAME, TEST_TEXT_ONLY, TIED

PAIRED = "paired: the same sequences, seed by seed, and the same noise unless noted otherwise"
UNPAIRED = "unpaired: a results file has no values of single sequences"
ONE_SEED = f"one seed, {TEST_TEXT_ONLY}: interval and p leave out the spread over training runs, so there is no verdict"
MAX_WIDTH = 10_000  # characters in a line


def show(comparison: Comparison, margin: Margin | None) -> None:
    """Print the differences: numbers first, then their possible reasons."""
    console = Console(highlight=False)
    name_a, name_b = comparison.names
    console.print(Text(f"A: {name_a}\nB: {name_b}"), soft_wrap=True)
    _print_bounds(console, comparison, margin)
    _print_qualities(console, comparison)
    for title, changes in (
        ("Settings", comparison.settings),
        ("Environment", comparison.surroundings),
        ("Protocol of the bound", comparison.protocols),
    ):
        _print_heading(console, title)
        console.print(_changes_table(changes) if any(changes.values()) else Text("no difference"))
    for name, arms in comparison.only.items():
        console.print(Text(f"only in {name}: {', '.join(arms)}"), soft_wrap=True)
    if margin is not None:
        _print_gate(console, comparison, margin)


def exit_code(comparison: Comparison, margin: Margin | None = None) -> int:
    """The exit code: FAILED if an arm regressed, USAGE_ERROR if an arm of A was not compared, else DONE.

    With a margin, an arm of which some seeds were not compared counts as not compared.
    """
    if margin is not None and any(decide(difference, margin) == REGRESSION for difference in comparison.bounds):
        return FAILED

    is_missing = any(not arm.seeds or (margin is not None and arm.reason) for arm in comparison.bounds)
    only_in_a = comparison.only.get(comparison.names[0])
    return USAGE_ERROR if is_missing or not comparison.bounds or only_in_a else DONE


def as_json(comparison: Comparison, margin: Margin | None) -> dict[str, Any]:
    """The comparison for other programs; numbers that do not exist are null."""
    content = asdict(comparison)
    for row, difference in zip(content["bounds"], comparison.bounds, strict=True):
        row["decision"] = None if margin is None else decide(difference, margin)
        row["is_test_text_only"] = difference.verdict == NO_VERDICT
    content["exit_code"] = exit_code(comparison, margin)
    plain: dict[str, Any] = _without_nan(content)
    return plain


def _without_nan(value: Any) -> Any:
    """JSON has no NaN or infinity; they become null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_bounds(console: Console, comparison: Comparison, margin: Margin | None) -> None:
    pairing = PAIRED if any(difference.is_paired for difference in comparison.bounds) else UNPAIRED
    _print_heading(
        console, f"Bound, {METRICS[comparison.metric].subtitle}, B minus A; below zero B is better ({pairing})"
    )
    _print_unfolded(console, _bounds_table(comparison, margin))
    notes = [note for difference in comparison.bounds for note in _notes(difference)]
    for note in dict.fromkeys(notes):
        console.print(Text(note, "dim"), soft_wrap=True)


def _print_qualities(console: Console, comparison: Comparison) -> None:
    """Print the metrics of samples that differ, and count the others."""
    if not comparison.qualities:
        return
    _print_heading(console, "Samples, B minus A (unpaired: each side drew its own)")
    different = [difference for difference in comparison.qualities if difference.verdict not in (TIED, NO_VERDICT)]
    if different:
        _print_unfolded(console, _qualities_table(different))
        for note in dict.fromkeys(f"{row.arm}: {row.notes}" for row in different if row.notes):
            console.print(Text(note, "dim"), soft_wrap=True)
    verdicts = [difference.verdict for difference in comparison.qualities]
    if lone := verdicts.count(NO_VERDICT):
        console.print(f"{lone} of {len(verdicts)} numbers have no verdict, since they are of one seed; see --json")
    if tied := verdicts.count(TIED):
        console.print(f"{tied} of {len(comparison.qualities)} numbers do not differ significantly; see --json")


def _print_heading(console: Console, title: str) -> None:
    console.print(Text(f"\n{title}", "bold"), soft_wrap=True)


def _print_unfolded(console: Console, table: Table) -> None:
    """Print a table at its full width, so that no number is cut off."""
    width = Measurement.get(console, console.options.update(max_width=MAX_WIDTH), table).maximum
    Console(highlight=False, width=max(width, console.width)).print(table)


def _bounds_table(comparison: Comparison, margin: Margin | None) -> Table:
    """A row per arm."""
    heads = ["arm", "A", "B - A", "95 % interval", "n × seeds", "p (Holm)", "sign flip", "verdict", "detectable"]
    if margin:
        heads.append("margin")
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for difference in comparison.bounds:
        is_out_of_reach = difference.reach and difference.verdict not in (SAME, NO_VERDICT)
        sign_flip = "out of reach" if is_out_of_reach else _format_p(difference.p_sign_flip)
        detectable = _format(difference, difference.detectable) if difference.verdict == TIED else ""
        row = [
            difference.arm,
            *_numbers(difference),
            _sizes(difference),
            _format_p(difference.p),
            sign_flip,
            difference.verdict or "not compared",
            detectable,
        ]
        style = ""
        if margin:
            row.append(describe_decision(difference, margin))
            style = "bold red" if decide(difference, margin) == REGRESSION else ""
        table.add_row(*(Text(cell, style) for cell in row))
    return table


def _qualities_table(differences: Sequence[Difference]) -> Table:
    """A row per metric of samples."""
    heads = ("arm", "drawn", "metric", "A", "B - A", "95 % interval", "n × seeds", "p (Holm)", "verdict")
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for difference in differences:
        row = [
            difference.arm,
            difference.way,
            difference.metric,
            *_numbers(difference),
            _sizes(difference),
            _format_p(difference.p),
            difference.verdict or difference.reason,
        ]
        table.add_row(*map(Text, row))
    return table


def _numbers(difference: Difference) -> tuple[str, str, str]:
    """A's value, the difference, and its interval, to two significant digits of half the interval."""
    base = _format(difference, difference.base)
    if not difference.seeds:
        return base, "", ""
    interval = ""
    if math.isfinite(difference.low):
        interval = f"[{_format(difference, difference.low)}, {_format(difference, difference.high)}]"
    sign = "+" if difference.value > 0 else ""
    return base, f"{sign}{_format(difference, difference.value)}", interval


def _sizes(difference: Difference) -> str:
    return f"{difference.n:,} × {difference.seeds}" if difference.seeds else ""


def _format(difference: Difference, value: float) -> str:
    half = (difference.high - difference.low) / 2
    digits = 1 - math.floor(math.log10(half)) if math.isfinite(half) and half > 0 else 4
    return f"{value:z.{min(max(digits, 0), 6)}f}" if math.isfinite(value) else ""


def _format_p(p: float) -> str:
    return f"{p:.2g}" if math.isfinite(p) else ""


def _notes(difference: Difference) -> Iterator[str]:
    """What to know beside the numbers of an arm."""
    if difference.reason:
        yield f"{difference.arm}: {difference.reason}"
    if difference.notes:
        yield f"{difference.arm}: {difference.notes}"
    if difference.verdict == NO_VERDICT:
        yield ONE_SEED
    elif difference.reach and difference.verdict != SAME:
        yield difference.reach
    if flips := describe_flips(difference.seeds) if difference.is_paired else "":
        yield flips


def _changes_table(changes_of_arms: dict[str, Changes]) -> Table:
    """A row per change; one that is the same in several arms is listed once."""
    table = Table("arm", "what", "A", "B", box=None, header_style="bold", pad_edge=False)
    arms: dict[tuple[str, str, str], list[str]] = {}
    for arm, changes in changes_of_arms.items():
        for name, values in changes.items():
            arms.setdefault((name, *values), []).append(arm)
    for (name, old, new), changed in arms.items():
        label = "all" if len(changed) == len(changes_of_arms) > 1 else ", ".join(changed)
        table.add_row(*map(Text, (label, name, old, new)))
    return table


def _print_gate(console: Console, comparison: Comparison, margin: Margin) -> None:
    """Print the decisions of --fail-on-regression in one line."""
    arms: dict[str, list[str]] = {}
    for difference in comparison.bounds:
        arms.setdefault(describe_decision(difference, margin), []).append(difference.arm)
    decisions = "; ".join(f"{decision}: {', '.join(labels)}" for decision, labels in arms.items())
    size = describe_margin(comparison.bounds, margin)
    code = exit_code(comparison, margin)
    console.print(Text(f"\nmargin {size}: {decisions} (exit code {code})", "bold"), soft_wrap=True)
