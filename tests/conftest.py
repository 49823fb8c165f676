"""What several tests share: a suite small enough to train in seconds, and a place to run it."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench import tracking
from reports import plots
from tests.workers import Starter

torch.set_num_threads(1)  # tensors of a test are small: threads would only wait for each other

EVERY_FORMAT = plots.SAVING
ROOT = Path(__file__).resolve().parent.parent

TINY = """\
question: Does it hold?
data: {source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}
network: {preset: micro, layers: 1, width: 16, heads: 2}
budget: {steps: 6}
training: {batch_size: 8, validations: 2, validation_sequences: 8, validation_draws: 2}
arms:
  - {label: AR, method: ar}
  - {label: MDLM, method: mdlm}
seeds: [0]
evaluation:
  bound: {draws: 2, replicates: 2}
  samples: {count: 2, calls: 4}
execution: {device: cpu}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A suite file that runs in a second."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans of text8 do not look at the text, wherever the tests run."""
    monkeypatch.setenv("DIFFUSION_BENCH_DATA", str(tmp_path / "nothing"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@cache
def _wait_for_no_disk() -> None:
    """A store of a test need not outlive a loss of power: the hundreds of commits of MLflow would each wait for it."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))


@pytest.fixture(scope="session", autouse=True)
def _quick_starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers are forked, a new folder of runs is given a copy of an empty store, which takes a second to make, and
    figures are saved as SVG alone: the fonts of a PDF take longer than all the rest of a report."""
    empty = tmp_path_factory.mktemp("store") / "mlflow.db"
    track = tracking.track

    def track_in_copy(runs: Path, suite: str, table: pd.DataFrame) -> None:
        from mlflow import MlflowClient

        _wait_for_no_disk()
        own = runs / "mlflow.db"
        if tracking.store(runs) == f"sqlite:///{own.resolve()}" and not own.exists():
            if not empty.exists():
                MlflowClient(f"sqlite:///{empty}").search_experiments()
            shutil.copy(empty, own)
        track(runs, suite, table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.tracking.track", track_in_copy)
        patch.setattr("bench.run.subprocess", Starter)
        patch.setattr("reports.plots.SAVING", {"svg": EVERY_FORMAT["svg"]})
        yield


@pytest.fixture
def every_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are saved as readers get them."""
    monkeypatch.setattr("reports.plots.SAVING", EVERY_FORMAT)
