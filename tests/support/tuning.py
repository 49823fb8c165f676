"""Small suites that are tuned, and what stands for their cells, for several tests."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.engine.records import BoundResult, TrainResult
from bench.engine.storage import succeed
from bench.launch.local_launcher import RunSettings
from bench.plan.cells import Cell, Plan, folder_of, merge_stages
from bench.suite.suite import Suite, read, with_data
from bench.suite.tuning.lock_file import Lock
from bench.tune.study import Study
from bench.tune.trials import tuning_digest
from bench.tune.tuner import Tuner, study_file
from tests.conftest import TINY

TUNE = """\
tune:
  trials: 3
  seeds: [100]
  budget: {steps: 4}
  search:
    training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  arms:
    MDLM: {options.schedule: [linear, cosine]}
"""


def write_suite(folder: Path, *changes: tuple[str, str]) -> Path:
    """The tiny suite with its tuning; it starts in line 14."""
    text = TINY + TUNE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def score(cell: Cell) -> float:
    """Bits that are lowest at a learning rate of 0.001."""
    return 2 + (math.log10(cell.training.learning_rate) + 3) ** 2


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


class Fake:
    """Stands for `bench.launch.local_launcher.run`: every cell is done at once, with what `bits` says of it.

    A cell for which it says words has failed, and where it raises the driver stops in the middle of a trial.
    """

    def __init__(self, bits: Callable[[Cell], Any] = score):
        self.bits, self.ran = bits, list[Cell]()

    def __call__(self, runs: Path, plan: Plan, settings: RunSettings, finished: Callable[[Cell], None]) -> None:
        for cell in merge_stages(plan.all):
            train, bound = (folder_of(runs, cell) / stage.folder for stage in cell.stages)
            if (bound / "result.json").exists() or (train / "failure.json").exists():
                continue
            self.ran.append(cell)
            bits = self.bits(cell)
            if isinstance(bits, str):
                write(train / "failure.json", {"reason": bits})
                continue
            measures = {"bits_per_char": {"value": bits, "standard_error": 0.01}}
            succeed(train, TrainResult(seconds=2.0))
            succeed(bound, BoundResult.model_validate({"seconds": 1.0, "measures": measures}))


def tune(suite: Suite, runs: Path, fake: Fake, monkeypatch: Any, retry: bool = False) -> Lock:
    """What tuning finds with cells that are not run."""
    monkeypatch.setattr("bench.tune.tuner.run", fake)
    return Tuner(runs, with_data(suite), retry, lambda cell: None).tune()


def studies(suite: Suite, runs: Path) -> dict[str, Any]:
    """The trials of each arm as Optuna holds them: number, state, parameters and value."""
    assert suite.tune is not None
    found = {}
    for arm in suite.spec.arms:
        held = Study(study_file(runs, suite), arm.label, tuning_digest(suite, arm), suite.tune).study.trials
        found[arm.label] = [(trial.number, trial.state.name, trial.params, trial.value) for trial in held]
    return found


def kill(folder: str, number: int) -> None:
    """Tunes the suite in the folder until the driver kills itself in the middle of trial `number`."""
    import os
    import signal

    import bench.tune.tuner

    def bits(cell: Cell) -> float:
        if len(fake.ran) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(cell)

    fake = Fake(bits)
    bench.tune.tuner.run = fake
    suite = with_data(read(Path(folder) / "tiny.yaml"))
    Tuner(Path(folder) / "runs", suite, False, lambda cell: None).tune()
