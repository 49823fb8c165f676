"""Trials and winners on the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.suite.arm_labels import format_value
from bench.suite.tuning.lock_file import Lock, TrialResult, TunedArm, format_values

NOISE = "the best of several noisy scores is optimistic: it selects the winner and is not reported"
ERROR_OF_SEEDS = "± is one standard error over the seeds"
ERROR_OF_ONE_SEED = "± is over the scored text only: one seed does not show the spread over training runs"
TPE = (
    "tpe chooses each trial by the scores of earlier ones: if one score differs, as on another machine or after a "
    "retry, so do all later trials"
)


def show(lock: Lock, file: Path) -> None:
    """Print the trials of each arm, then the winners."""
    console = Console(highlight=False)

    def print_line(line: str, style: str = "") -> None:
        console.print(Text(line, style), soft_wrap=True)

    for label, arm in lock.arms.items():
        print_line(f"{label}: {arm.trials} trials, {arm.failed} failed, {arm.tokens:,} tokens", "bold")
        console.print(_table(arm, lock.metric))
        for number, trial in enumerate(arm.tried, 1):
            if trial.reason:
                print_line(f"trial {number} failed: {trial.reason}")

    for label, arm in lock.arms.items():
        if arm.winner is None:
            print_line(f"{label}: no winner, every trial failed")
        else:
            print_line(f"{label}: {format_values(arm.winner)}: {_format_score(arm)}")
    print_line(f"scored on {lock.split}, seed {', '.join(map(str, lock.seeds))}; {NOISE}")
    print_line(ERROR_OF_SEEDS if len(lock.seeds) > 1 else ERROR_OF_ONE_SEED)
    if lock.sampler == "tpe":
        print_line(TPE)
    print_line(f"winners: {file}")


def _table(arm: TunedArm, metric: str) -> Table:
    """A row per trial: its values, its score with the error, its seconds, and whether it is the best."""
    keys = list(dict.fromkeys(key for trial in arm.tried for key in trial.values))
    names = [key.split(".", 1)[-1] for key in keys]
    table = Table("trial", *names, box=None, header_style="bold", pad_edge=False)
    for name in (metric.replace("_", " "), "seconds"):
        table.add_column(name, justify="right")
    table.add_column("")

    best = next((trial for trial in arm.tried if trial.score == arm.score), None)
    for number, trial in enumerate(arm.tried, 1):
        mark = "failed" if trial.reason else "best" if trial is best else ""
        values = [format_value(trial.values.get(key)) for key in keys]
        table.add_row(*map(Text, (str(number), *values, _format_score(trial), f"{trial.seconds:.1f}", mark)))
    return table


def _format_score(result: TrialResult | TunedArm) -> str:
    if result.score is None:
        return "-"
    size = result.standard_error or 0.0
    error = f" ± {size:.4f}" if size >= 5e-5 else f" ± {size:.0e}" if size else ""
    return f"{result.score:.4f}{error}"
