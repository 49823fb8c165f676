"""Results of tuning: all trials of each arm and the best of them, kept in a lock file beside the suite."""

import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from bench.engine.record_files import write_bytes
from bench.engine.settings import Settings
from bench.suite.arm_labels import format_setting
from bench.suite.settings import ArmSpec
from bench.suite.yaml_document import SuiteError, plain
from bench.suite.yaml_limits import LIMITS_OF_RECORDS, compose, read_text
from bench.suite.yaml_nodes import NodeReader, to_scalar

HEAD = "# Results of bench tune for suite {suite}; bench run takes the winners from here. Do not edit by hand.\n"
REWRITE = "write it again with: bench tune"


class TrialResult(Settings):
    """One trial. A failed trial has a reason instead of a score."""

    values: dict[str, Any]
    score: float | None = None  # mean over the seeds of tuning
    standard_error: float | None = None  # over seeds if there are several, else over documents
    reason: str = ""
    cells: list[str] = Field(default_factory=list)
    tokens: int = 0
    flops: float = 0.0  # of training and scoring
    seconds: float = 0.0  # of training and scoring


class TunedArm(Settings):
    """The trials of an arm, their cost, and the trial with the lowest score."""

    digest: str  # of all that the trials depend on
    winner: dict[str, Any] | None  # its values; null if every trial failed
    score: float | None
    standard_error: float | None
    trials: int
    failed: int
    tokens: int  # these three of all trials; equal trials count once
    flops: float
    seconds: float
    tried: list[TrialResult]

    @classmethod
    def of(cls, digest: str, tried: list[TrialResult]) -> Self:
        """Summarize the trials of an arm."""
        return cls(digest=digest, tried=tried, **summarize(tried))

    @model_validator(mode="after")
    def agrees_with_its_trials(self) -> Self:
        if wrong := [name for name, value in summarize(self.tried).items() if getattr(self, name) != value]:
            raise ValueError(f"its {', '.join(wrong)} is not that of its trials, so it was edited by hand")
        return self


def summarize(trials: Sequence[TrialResult]) -> dict[str, Any]:
    """The winner, which is the first of equal scores, and the total cost."""
    scored = [trial for trial in trials if trial.score is not None]
    best = min(scored, key=lambda trial: trial.score or 0.0, default=None)
    distinct = {tuple(trial.cells): trial for trial in trials}.values()
    return {
        "winner": best.values if best else None,
        "score": best.score if best else None,
        "standard_error": best.standard_error if best else None,
        "trials": len(trials),
        "failed": len(trials) - len(scored),
        "tokens": sum(trial.tokens for trial in distinct),
        "flops": math.fsum(trial.flops for trial in distinct),
        "seconds": math.fsum(trial.seconds for trial in distinct),
    }


class Lock(Settings):
    """The lock file of a suite at one of its scales."""

    suite: str
    metric: str  # of the scores, such as bits_per_char
    split: str  # on which trials were scored
    seeds: list[int]
    sampler: str
    budget: dict[str, Any]  # of a trial, the same for every arm
    arms: dict[str, TunedArm]

    def describe(self) -> list[str]:
        """A line per arm: the values of its winner, and the number of trials."""
        winners = [(label, arm, arm.winner) for label, arm in self.arms.items() if arm.winner is not None]
        return [f"{label} has {format_values(best)}: the best of {arm.trials} trials" for label, arm, best in winners]

    def as_record(self, arms: Sequence[ArmSpec]) -> dict[str, Any]:
        """What the record of a suite stores: the lock, and the reasons of arms that are not tuned."""
        untuned = {arm.label: arm.untuned for arm in arms if arm.untuned is not None}
        return {**self.model_dump(mode="json"), "untuned": untuned}


def write(path: Path, lock: Lock) -> None:
    """Write the lock file, for people to read and commit."""
    yaml, content = YAML(), lock.model_dump(mode="json")
    yaml.default_flow_style = None  # blocks without inner blocks take one line
    yaml.width = 10_000
    for arm in content["arms"].values():
        arm["tried"] = [_in_one_line(trial) for trial in arm["tried"]]
    text = StringIO()
    text.write(HEAD.format(suite=lock.suite))
    yaml.dump(content, text)
    write_bytes(path.parent.resolve() / path.name, text.getvalue().encode())


def _in_one_line(content: dict[str, Any]) -> CommentedMap:
    line = CommentedMap(content)
    line.fa.set_flow_style()
    return line


def read(path: Path) -> Lock | None:
    """Read a lock file, or None if it does not exist. Raises SuiteError if it is not as `bench tune` wrote it."""
    if not path.exists():
        return None
    try:
        return Lock.model_validate(plain(_read_content(path)))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"]) or "the file"
        message = first["msg"].removeprefix("Value error, ")
        raise SuiteError(f"{path}: {field}: {message}; {REWRITE}") from None


def _read_content(path: Path) -> Any:
    """The content of a lock file. Raises SuiteError."""
    try:
        node, faults = compose(path, read_text(path, LIMITS_OF_RECORDS.size), LIMITS_OF_RECORDS)
    except SuiteError as error:
        raise SuiteError(f"{error}; {REWRITE}") from None
    reader = NodeReader(path, to_scalar)
    content = None if node is None else reader.read(node)
    for spot, message in [*faults, *reader.faults]:
        raise SuiteError(f"{spot}: {message}; {REWRITE}")
    return content


def format_values(values: dict[str, Any]) -> str:
    """Values as text: "learning_rate 0.003, schedule cosine"."""
    return ", ".join(format_setting(key.split(".", 1)[-1], value) for key, value in values.items())
