"""Trials and winners on the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.suite.labels import format_value
from bench.suite.tuning.lock_file import Lock, TrialResult, TunedArm, format_values

TPE = "tpe chooses each trial by the scores before it: where one score differs, as on another machine or after a retry,"
NOTES = {
    "noise": "the best of several noisy scores flatters: it chooses the winner, and is not what is reported",
    "tpe": f"{TPE} so do all trials after it",
}


def show(lock: Lock, file: Path) -> None:
    """Prints the trials of each arm from the first to the last, and the winner of each."""
    console = Console(highlight=False)

    def tell(line: str, style: str = "") -> None:
        console.print(Text(line, style), soft_wrap=True)

    for label, tuned in lock.arms.items():
        tell(f"{label}: {tuned.trials} trials, {tuned.failed} failed, {tuned.tokens:,} tokens", "bold")
        console.print(_table(tuned, lock.metric))
        for number, each in enumerate(tuned.tried, 1):
            if each.reason:
                tell(f"trial {number} failed: {each.reason}")
    for label, tuned in lock.arms.items():
        won = tuned.winner is not None
        tell(
            f"{label}: {format_values(tuned.winner or {})}: {_score(tuned)}"
            if won
            else f"{label}: no winner, every trial failed"
        )
    tell(f"scored on {lock.split}, seed {', '.join(map(str, lock.seeds))}; {NOTES['noise']}")
    if lock.sampler == "tpe":
        tell(NOTES["tpe"])
    tell(f"winners: {file}")


def _table(tuned: TunedArm, metric: str) -> Table:
    """A row for each trial: what was tried, its score with its error, its seconds, and whether it is the best."""
    keys = list(dict.fromkeys(key for each in tuned.tried for key in each.values))
    table = Table("trial", *(key.split(".", 1)[-1] for key in keys), box=None, header_style="bold", pad_edge=False)
    for name in (metric.replace("_", " "), "seconds"):
        table.add_column(name, justify="right")
    table.add_column("")
    best = next((each for each in tuned.tried if each.score == tuned.score), None)
    for number, each in enumerate(tuned.tried, 1):
        end = "failed" if each.reason else "best" if each is best else ""
        said = [format_value(each.values.get(key)) for key in keys]
        table.add_row(*map(Text, (str(number), *said, _score(each), f"{each.seconds:.1f}", end)))
    return table


def _score(found: TrialResult | TunedArm) -> str:
    if found.score is None:
        return "-"
    return f"{found.score:.4f}" + (f" ± {found.standard_error:.4f}" if found.standard_error else "")
