"""A comparison on the terminal and as JSON."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.engine.metric import METRICS
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results.compare.compare import REGRESSION, Comparison, Difference, Margin, decide
from bench.results.compare.settings import Changes
from bench.results.statistics.verdicts import SAME, TIED

PAIRED = "paired: the same sequences, seed by seed, and the same noise where nothing else is said"
UNPAIRED = "unpaired: a results file has no values of single sequences"
WIDEST = 10_000  # signs in a line
ONE_SEED = "one seed: the interval is over the sequences alone and shows no variance of training"


def show(found: Comparison, margin: Margin | None) -> None:
    """Prints what differs: numbers first, then what may be the reason."""
    console = Console(highlight=False)
    one, other = found.names
    how = PAIRED if any(each.is_paired for each in found.bounds) else UNPAIRED
    console.print(Text(f"A: {one}\nB: {other}"), soft_wrap=True)
    _section(console, f"Bound, {METRICS[found.metric].subtitle}, B minus A; below zero B is better ({how})")
    _print_whole(console, _bounds(found, margin))
    for note in dict.fromkeys(note for each in found.bounds for note in _notes(each)):
        console.print(Text(note, "dim"), soft_wrap=True)
    if found.qualities:
        _section(console, "Texts, B minus A (unpaired: each side drew its own)")
        if told := [each for each in found.qualities if each.verdict != TIED]:
            _print_whole(console, _qualities(told))
        if rest := len(found.qualities) - len(told):
            console.print(f"{rest} of {len(found.qualities)} numbers are not told apart; --json has them all")
    for title, by_arm in (
        ("Settings", found.settings),
        ("Surroundings", found.surroundings),
        ("Protocol of the bound", found.protocols),
    ):
        _section(console, title)
        console.print(_changes(by_arm) if any(by_arm.values()) else Text("no difference"))
    for name, arms in found.only.items():
        console.print(Text(f"only in {name}: {', '.join(arms)}"), soft_wrap=True)
    if margin is not None:
        _gate(console, found, margin)


def exit_code(comparison: Comparison, margin: Margin | None = None) -> int:
    """The exit code: FAILED if an arm regressed, USAGE_ERROR if an arm of A was not compared, else DONE.

    With a margin, an arm of which some seeds were not compared counts as not compared.
    """
    if margin is not None and any(decide(difference, margin) == REGRESSION for difference in comparison.bounds):
        return FAILED

    is_missing = any(not arm.seeds or (margin is not None and arm.reason) for arm in comparison.bounds)
    only_in_a = comparison.only.get(comparison.names[0])
    return USAGE_ERROR if is_missing or not comparison.bounds or only_in_a else DONE


def as_json(found: Comparison, margin: Margin | None) -> dict[str, Any]:
    """The same for other programs; null where there is no number."""
    told = asdict(found)
    for each, difference in zip(told["bounds"], found.bounds, strict=True):
        each["decision"] = None if margin is None else decide(difference, margin)
    told["exit_code"] = exit_code(found, margin)
    plain: dict[str, Any] = _plain(told)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _section(console: Console, title: str) -> None:
    console.print(Text(f"\n{title}", "bold"), soft_wrap=True)


def _print_whole(console: Console, table: Table) -> None:
    """Prints a table as wide as it is: none of its numbers is cut off, wherever they are printed."""
    width = Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum
    Console(highlight=False, width=max(width, console.width)).print(table)


def _bounds(found: Comparison, margin: Margin | None) -> Table:
    """A row for each arm."""
    heads = ("arm", "A", "B - A", "95 % interval", "n × seeds", "p (Holm)", "sign flip", "verdict", "detectable")
    table = Table(*heads, *(["margin"] if margin else []), box=None, header_style="bold", pad_edge=False)
    for each in found.bounds:
        size = _write(each, each.detectable) if each.verdict == TIED else ""
        flips = "out of reach" if each.reach and each.verdict != SAME else _short(each.p_sign_flip)
        sizes = f"{each.n:,} × {each.seeds}" if each.seeds else ""
        words = [each.arm, *_numbers(each), sizes, _short(each.p), flips, each.verdict or "not compared", size]
        decision = [decide(each, margin)] if margin else []
        style = "bold red" if REGRESSION in decision else ""
        table.add_row(*(Text(word, style) for word in (*words, *decision)))
    return table


def _qualities(found: Sequence[Difference]) -> Table:
    """A row for each number of texts."""
    heads = ("arm", "drawn", "metric", "A", "B - A", "95 % interval", "n × seeds", "p (Holm)", "verdict")
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for each in found:
        sizes = f"{each.n:,} × {each.seeds}" if each.seeds else ""
        words = (*_numbers(each), sizes, _short(each.p), each.verdict or each.reason)
        table.add_row(*(Text(word) for word in (each.arm, each.way, each.metric, *words)))
    return table


def _numbers(each: Difference) -> tuple[str, str, str]:
    """The number of A, the difference, and its interval; two significant digits of half the interval."""
    if not each.seeds:
        return _write(each, each.base), "", ""
    has_interval = math.isfinite(each.low)
    interval = f"[{_write(each, each.low)}, {_write(each, each.high)}]" if has_interval else ""
    return _write(each, each.base), f"{'+' * (each.value > 0)}{_write(each, each.value)}", interval


def _write(each: Difference, value: float) -> str:
    half = (each.high - each.low) / 2
    digits = 1 - math.floor(math.log10(half)) if math.isfinite(half) and half > 0 else 4
    return f"{value:z.{min(max(digits, 0), 6)}f}" if math.isfinite(value) else ""


def _short(p: float) -> str:
    return f"{p:.2g}" if math.isfinite(p) else ""


def _notes(each: Difference) -> Iterator[str]:
    """What has to be known beside the numbers of an arm."""
    if each.reason:
        yield f"{each.arm}: {each.reason}"
    if each.notes:
        yield f"{each.arm}: {each.notes}"
    if each.reach and each.verdict != SAME:
        yield each.reach
    if each.seeds == 1 and each.verdict != SAME:
        yield ONE_SEED


def _changes(by_arm: dict[str, Changes]) -> Table:
    """A row for each thing that differs; what differs alike in all arms stands once."""
    table = Table("arm", "what", "A", "B", box=None, header_style="bold", pad_edge=False)
    arms: dict[tuple[str, str, str], list[str]] = {}
    for arm, changes in by_arm.items():
        for name, values in changes.items():
            arms.setdefault((name, *values), []).append(arm)
    for (name, old, new), those in arms.items():
        label = "all" if len(those) == len(by_arm) > 1 else ", ".join(those)
        table.add_row(*(Text(word) for word in (label, name, old, new)))
    return table


def _gate(console: Console, found: Comparison, margin: Margin) -> None:
    """What --fail-on-regression says of it, in one line."""
    decisions = [(each.arm, decide(each, margin)) for each in found.bounds]
    counts = {word: [arm for arm, each in decisions if each == word] for word in dict.fromkeys(d for _, d in decisions)}
    told = "; ".join(f"{word}: {', '.join(arms)}" for word, arms in counts.items())
    size = f"{margin.size:.4g}" if not margin.is_share else f"{margin.size:.4%}".rstrip("0%").rstrip(".") + " % of A"
    console.print(Text(f"\nmargin {size}: {told} (exit code {exit_code(found, margin)})", "bold"), soft_wrap=True)
