"""What tuning found: every trial of every arm, and the best of them. It is kept in a lock file beside the suite."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap

from bench.engine.settings import Settings
from bench.suite.document import SuiteError
from bench.suite.labels import words
from bench.suite.settings import ArmSpec

HEAD = "# What bench tune found for suite {suite}; bench run takes the winners from here. Not to be written by hand.\n"


class Tried(Settings):
    """One trial. A trial that failed has a reason in the place of its score."""

    values: dict[str, Any]
    score: float | None = None  # mean over the seeds of tuning, in the metric of the suite's score
    standard_error: float | None = None  # over the seeds where there are several, else over the documents
    reason: str = ""
    cells: list[str] = Field(default_factory=list)
    tokens: int = 0
    flops: float = 0.0  # of training and scoring
    seconds: float = 0.0  # of training and scoring


class Tuned(Settings):
    """The trials of an arm and what they cost, and the one with the lowest score."""

    digest: str  # of all that the trials were made under
    winner: dict[str, Any] | None  # its values; null: every trial failed
    score: float | None
    standard_error: float | None
    trials: int
    failed: int
    tokens: int  # these three of all trials; what was trained once counts once
    flops: float
    seconds: float
    tried: list[Tried]

    @classmethod
    def of(cls, digest: str, tried: list[Tried]) -> Self:
        """The arm whose trials are these."""
        return cls(digest=digest, tried=tried, **summed(tried))

    @model_validator(mode="after")
    def is_that_of_its_trials(self) -> Self:
        if wrong := [name for name, value in summed(self.tried).items() if getattr(self, name) != value]:
            raise ValueError(f"its {', '.join(wrong)} is not that of its trials, so that it was changed by hand")
        return self


def summed(tried: Sequence[Tried]) -> dict[str, Any]:
    """What the trials of an arm come to, the first of equal scores as the winner."""
    scored = [each for each in tried if each.score is not None]
    best = min(scored, key=lambda each: each.score or 0.0, default=None)
    distinct = {tuple(each.cells): each for each in tried}.values()
    return {
        "winner": best.values if best else None,
        "score": best.score if best else None,
        "standard_error": best.standard_error if best else None,
        "trials": len(tried),
        "failed": len(tried) - len(scored),
        "tokens": sum(each.tokens for each in distinct),
        "flops": math.fsum(each.flops for each in distinct),
        "seconds": math.fsum(each.seconds for each in distinct),
    }


class Lock(Settings):
    """The lock file of a suite at one of its scales."""

    suite: str
    metric: str  # of the scores, such as bits_per_char
    split: str  # on which trials were scored
    seeds: list[int]
    sampler: str
    budget: dict[str, Any]  # of a trial, in steps or tokens, the same for every arm
    arms: dict[str, Tuned]

    def tell(self) -> list[str]:
        """A line for each arm: what it was given, chosen from how many trials."""
        found = ((label, tuned) for label, tuned in self.arms.items() if tuned.winner is not None)
        return [f"{label} has {say(tuned.winner or {})}: the best of {tuned.trials} trials" for label, tuned in found]

    def told(self, arms: Sequence[ArmSpec]) -> dict[str, Any]:
        """What the record of a suite holds of its tuning; also the arms that were not tuned, with the reason."""
        untuned = {arm.label: arm.untuned for arm in arms if arm.untuned is not None}
        return {**self.model_dump(mode="json"), "untuned": untuned}


def write(path: Path, lock: Lock) -> None:
    """Writes the lock file, which people may read and commit."""
    yaml, content = YAML(), lock.model_dump(mode="json")
    yaml.default_flow_style = None  # what holds no other block stands in one line
    yaml.width = 10_000
    for tuned in content["arms"].values():
        tuned["tried"] = [_in_one_line(each) for each in tuned["tried"]]
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(HEAD.format(suite=lock.suite))
        yaml.dump(content, file)
    partial.replace(path)


def _in_one_line(content: dict[str, Any]) -> CommentedMap:
    line = CommentedMap(content)
    line.fa.set_flow_style()
    return line


def read(path: Path) -> Lock | None:
    """The lock file, None where there is none; raises SuiteError where it is not as `bench tune` wrote it."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return Lock.model_validate(content)
    except FileNotFoundError:
        return None
    except YAMLError as error:
        raise SuiteError(
            f"{path}: not valid YAML: {' '.join(str(error).split())}; make it again with bench tune"
        ) from None
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path}: not UTF-8: {error}; make it again with bench tune") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "the file"
        told = first["msg"].removeprefix("Value error, ")
        raise SuiteError(f"{path}: {where}: {told}; make it again with bench tune") from None


def say(values: dict[str, Any]) -> str:
    """Values in a few words: "learning_rate 0.003, schedule cosine"."""
    return ", ".join(words(key.split(".", 1)[-1], value) for key, value in values.items())
