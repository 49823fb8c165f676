"""The cells of a record: which of them are arms, and what is wrong with those that are not done."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from bench.engine.model.method_instances import method_instance
from bench.results.suite_record import Record
from methods import METHODS
from methods.discrete.mixing import Mixing
from methods.method import Method
from methods.schedules import Schedule


def select_arms(record: Record) -> pd.DataFrame:
    """The rows of the arms, without those of controls and of the suite's own scorer."""
    return record.table[record.table["role"] == "arm"]


def split_arms(record: Record) -> dict[str, pd.DataFrame]:
    """The rows of each arm by its label, in the order of the suite."""
    return {str(label): rows for label, rows in select_arms(record).groupby("arm", sort=False)}


def split_cells(record: Record) -> list[tuple[str, str, pd.DataFrame]]:
    """Role, name and rows of each arm, of the scorer, and of all controls together, which are one cell."""
    table = record.table
    named = table.assign(arm=table["arm"].where(table["role"] == "arm", table["role"]))
    return [(str(role), str(name), rows) for (role, name), rows in named.groupby(["role", "arm"], sort=False)]


def join_names(names: Sequence[str], most: int = 4) -> str:
    """Names as a list in a sentence, of which the last are only counted where they are many."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def find_problems(rows: pd.DataFrame) -> pd.DataFrame:
    """The first stage that is not done of each cell of an arm, a failure before what is stale."""
    broken = rows[rows["status"] != "done"]
    ranked = broken.assign(is_stale=broken["status"] == "stale")  # the stages stand in their order
    return ranked.sort_values(["seed", "is_stale"], kind="stable").drop_duplicates("seed")


def describe_missing(record: Record, *stages: str) -> str:
    """The arms that lack seeds of some of these stages, as a sentence for a figure; "" where none does."""
    told = []
    for arm, rows in split_arms(record).items():
        lost = rows[rows["stage"].isin(stages) & ~rows["status"].isin(["done", "stale"])].drop_duplicates("seed")
        planned = rows["seed"].nunique()
        for status, seeds in lost.groupby("status", sort=False):
            count = f"{len(seeds)} of {planned} seeds " * (len(seeds) < planned)
            told.append(f"{arm} ({count}{status})")
    return f"Without a result: {', '.join(told)}." * bool(told)


def describe_problem(problem: pd.Series) -> str:
    """A problem in words: "failed: out of memory (train, seed 0)"."""
    reason = " ".join(str(problem["reason"]).split()) or "no result yet"
    return f"{problem['status']}: {reason} ({problem['stage']}, seed {problem['seed']})"


def warn_incomplete(record: Record) -> str:
    """What is wrong with the record as a sentence, "" when it is complete."""
    if record.state == "complete":
        return ""
    cells = [rows for _, _, rows in split_cells(record)]
    states = [status for rows in cells for status in find_problems(rows)["status"]]
    total = sum(rows["seed"].nunique() for rows in cells)
    counts = "".join(f", {states.count(status)} {status}" for status in dict.fromkeys(states))
    return f"Incomplete: {total - len(states)} of {total} cells are done{counts}."


def list_other_problems(record: Record) -> list[tuple[str, str]]:
    """What is wrong with the cells that are no arms, as footnotes."""
    others = [(role, rows) for role, _, rows in split_cells(record) if role != "arm"]
    return [
        ("", f"The cell of the {'control texts' if role == 'control' else role}: {describe_problem(row)}.")
        for role, rows in others
        for _, row in find_problems(rows).iterrows()
    ]


def describe_tuning(record: Record) -> list[str]:
    """How many trials each arm was tuned with, and the arms that were not, with the reason; nothing without tuning."""
    if not record.tuning:
        return []
    tuned, untuned = record.tuning["arms"], record.tuning["untuned"]
    trials = sorted({each["trials"] for each in tuned.values()})
    told = f"{trials[0]} trials for each arm" if len(trials) == 1 else f"{trials[0]} to {trials[-1]} trials an arm"
    tokens = sum(each["tokens"] for each in tuned.values())
    where = f"on the {record.tuning['split']} split, {tokens:,} tokens in all"
    return [f"TunedArm: {told}, {where}.", *(f"{arm} was not tuned: {reason}." for arm, reason in untuned.items())]


def choose_score(record: Record) -> tuple[str, str]:
    """The metric of the score and its unit: bits per byte where tokens are bytes, else bits per character."""
    is_byte = record.data.get("level") == "byte"
    return ("bits_per_byte", "bits per byte") if is_byte else ("bits_per_char", "bits per character")


def identify_schedule(method: Method) -> str | None:
    """What tells the signal of one method from that of another; None where it has none that is the same for all tokens
    and known before training."""
    schedule = getattr(method, "schedule", None)
    if isinstance(schedule, Schedule):
        return json.dumps([type(schedule).__name__, asdict(schedule)])
    if isinstance(method, Mixing):
        return json.dumps([type(method).__name__, str(vars(method).get("height"))])
    return None


def build_methods(record: Record) -> dict[str, Method]:
    """The method of each arm with its options; those of plug-ins that are not loaded are left out."""
    names = {arm: str(rows["method"].iloc[0]) for arm, rows in split_arms(record).items()}
    size = record.data.get("vocab_size") or 2
    return {
        arm: method_instance(name, size, record.options.get(arm, {})) for arm, name in names.items() if name in METHODS
    }


def differ_in_schedule(record: Record) -> bool:
    """Whether two arms of one method have different schedules and are alike in all other options."""
    methods, seen = build_methods(record), dict[tuple[str, str], str | None]()
    for arm, method in methods.items():
        rest = {name: value for name, value in record.options.get(arm, {}).items() if name != "schedule"}
        key = (type(method).__name__, json.dumps(rest, sort_keys=True, default=str))
        if seen.setdefault(key, identify_schedule(method)) != identify_schedule(method):
            return True
    return False
