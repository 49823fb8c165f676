"""The cells of a record: which of them are arms, and what is wrong with those that are not done."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict

import pandas as pd

from bench.engine.metric_definitions import METRICS
from bench.engine.model.method_instances import method_instance
from bench.engine.storage import describe_status
from bench.results.suite_record import SuiteRecord
from methods import METHODS
from methods.discrete.mixing import Mixing
from methods.method import Method
from methods.schedules import Schedule


def select_arms(record: SuiteRecord) -> pd.DataFrame:
    """The rows of the arms, without controls and the suite's own scorer."""
    return record.table[record.table["role"] == "arm"]


def split_arms(record: SuiteRecord) -> dict[str, pd.DataFrame]:
    """The rows of each arm by its label, in the order of the suite."""
    return {str(label): rows for label, rows in select_arms(record).groupby("arm", sort=False)}


def split_cells(record: SuiteRecord) -> list[tuple[str, str, pd.DataFrame]]:
    """Role, name and rows of each arm, of the scorer, and of all controls together, which are one cell."""
    table = record.table
    named = table.assign(arm=table["arm"].where(table["role"] == "arm", table["role"]))
    return [(str(role), str(name), rows) for (role, name), rows in named.groupby(["role", "arm"], sort=False)]


def distinguish(label: str, taken: Collection[str], kind: str) -> str:
    """The label, followed by what it is the label of if others have it: "uniform (reference)"."""
    while label in taken:
        label = f"{label} ({kind})"
    return label


def name_ways(ways: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A label of its own for each arm and way: "ARM: WAY", or "ARM" without a way."""
    labels: dict[tuple[str, str], str] = {}
    for arm, way in ways:
        if (arm, way) not in labels:
            labels[arm, way] = distinguish(f"{arm}: {way}" if way else arm, labels.values(), "another arm")
    return labels


def label_by_way(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows, with arms labelled by the way in a column too, so that each way is an arm of its own."""
    keys = list(zip(rows["arm"], rows[column], strict=True))
    labels = name_ways(keys)
    return rows.assign(arm=[labels[key] for key in keys])


def choose_score(record: SuiteRecord) -> tuple[str, str]:
    """The metric of the score and its unit: bits per byte if tokens are bytes, otherwise bits per character."""
    name = "bits_per_byte" if record.data.level == "byte" else "bits_per_char"
    return name, METRICS[name].subtitle


def join_names(names: Sequence[str], most: int = 4) -> str:
    """Names as a list in a sentence: "a, b and c"; from `most` names on, the last are only counted."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def find_problems(rows: pd.DataFrame) -> pd.DataFrame:
    """The first unfinished stage of each of an arm's cells; failures come before stale stages."""
    broken = rows[rows["status"] != "done"]
    ranked = broken.assign(is_stale=broken["status"] == "stale")  # the stages stand in their order
    return ranked.sort_values(["seed", "is_stale"], kind="stable").drop_duplicates("seed")


def describe_problem(problem: pd.Series) -> str:
    """A problem in words: "failed: out of memory (train, seed 0)"."""
    reason = " ".join(str(problem["reason"]).split()) or "no result yet"
    return f"{describe_status(problem['status'], reason)} ({problem['stage']}, seed {problem['seed']})"


def describe_missing(record: SuiteRecord, *stages: str) -> str:
    """The arms that lack seeds of some of these stages, as a sentence for a figure; "" if none does."""
    missing = []
    for arm, rows in split_arms(record).items():
        is_lost = rows["stage"].isin(stages) & ~rows["status"].isin(["done", "stale"])
        planned = rows["seed"].nunique()
        for status, seeds in rows[is_lost].drop_duplicates("seed").groupby("status", sort=False):
            count = f"{len(seeds)} of {planned} seeds " if len(seeds) < planned else ""
            missing.append(f"{arm} ({count}{status})")
    return f"Without a result: {', '.join(missing)}." if missing else ""


def warn_incomplete(record: SuiteRecord) -> str:
    """How many cells are done, as a sentence; "" if the record is complete."""
    if record.state == "complete":
        return ""
    cells = [rows for _, _, rows in split_cells(record)]
    states = [status for rows in cells for status in find_problems(rows)["status"]]
    total = sum(rows["seed"].nunique() for rows in cells)
    counts = "".join(f", {states.count(status)} {status}" for status in dict.fromkeys(states))
    return f"Incomplete: {total - len(states)} of {total} cells are done{counts}."


def list_other_problems(record: SuiteRecord) -> list[tuple[str, str]]:
    """Footnotes on what went wrong with the scorer and the controls."""
    notes = []
    for role, _, rows in split_cells(record):
        if role != "arm":
            name = "control texts" if role == "control" else role
            problems = [describe_problem(problem) for _, problem in find_problems(rows).iterrows()]
            notes += [("", f"The cell of the {name}: {problem}.") for problem in problems]
    return notes


def describe_tuning(record: SuiteRecord) -> list[str]:
    """How many trials tuned each arm, and which arms were not tuned and why; nothing without tuning."""
    if not record.tuning:
        return []
    tuned, untuned = record.tuning["arms"], record.tuning["untuned"]
    trials = sorted({arm["trials"] for arm in tuned.values()})
    count = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]} to {trials[-1]}"
    tokens = sum(arm["tokens"] for arm in tuned.values())
    summary = f"Tuned: {count} trials per arm on the {record.tuning['split']} split, {tokens:,} tokens in total."
    return [summary, *(f"{arm} was not tuned: {reason}." for arm, reason in untuned.items())]


def describe_tracking(record: SuiteRecord) -> list[str]:
    """That MLflow's store lacks some of the record, why, and what mends it; nothing if it lacks nothing."""
    if not record.untracked:
        return []
    return [f"Not tracked in MLflow, whose store {record.untracked}; mend it with: bench sync {record.suite}."]


def build_methods(record: SuiteRecord) -> dict[str, Method]:
    """The method of each arm with its options, without those of plug-ins that are not loaded."""
    names = {arm: str(rows["method"].iloc[0]) for arm, rows in split_arms(record).items()}
    size = record.data.vocab_size or 2
    return {
        arm: method_instance(name, size, record.options.get(arm, {})) for arm, name in names.items() if name in METHODS
    }


def identify_schedule(method: Method) -> str | None:
    """A key that is equal for methods with equal noise schedules.

    None if the schedule depends on the token or is learned in training.
    """
    schedule = getattr(method, "schedule", None)
    if isinstance(schedule, Schedule):
        return json.dumps([type(schedule).__name__, asdict(schedule)])
    if isinstance(method, Mixing):
        return json.dumps([type(method).__name__, str(vars(method).get("height"))])
    return None


def differ_in_schedule(record: SuiteRecord) -> bool:
    """Whether two arms of one method have different schedules and otherwise equal options."""
    schedules: dict[tuple[str, str], str | None] = {}
    for arm, method in build_methods(record).items():
        options = {name: value for name, value in record.options.get(arm, {}).items() if name != "schedule"}
        key = (type(method).__name__, json.dumps(options, sort_keys=True, default=str))
        schedule = identify_schedule(method)
        if schedules.setdefault(key, schedule) != schedule:
            return True
    return False
