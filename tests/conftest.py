"""What several tests share: a suite small enough to train in seconds, and a place to run it."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.results import mlflow_tracking as tracking
from reports.figures.style import FORMATS as ALL_FORMATS
from tests.support.workers import Subprocess

torch.set_num_threads(1)  # tensors of a test are small: threads would only wait for each other

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
    """Run long files first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@cache
def _turn_off_fsync() -> None:
    """Do not wait for the disk at each of MLflow's hundreds of commits: no test needs its store after a power cut."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))


@pytest.fixture(scope="session", autouse=True)
def _shortcuts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Replace what is slow and not under test.

    Workers are forked; `bench certify` runs all checks in this process, where patches hold, unless it is told `--jobs`;
    a new store of MLflow is a copy of an empty one, which takes a second to create; figures are saved as SVG only,
    because embedding the fonts of a PDF takes longer than the rest of a report.
    """
    empty_store = tmp_path_factory.mktemp("store") / "mlflow.db"
    track = tracking.track

    def track_in_copy(runs: Path, suite: str, table: pd.DataFrame, verify: bool = False) -> tracking.Written:
        from mlflow import MlflowClient

        _turn_off_fsync()
        store = runs / "mlflow.db"
        if tracking.tracking_uri(runs) == f"sqlite:///{store.resolve()}" and not store.exists():
            if not empty_store.exists():
                MlflowClient(f"sqlite:///{empty_store}").search_experiments()
            shutil.copy(empty_store, store)
        return track(runs, suite, table, verify)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.results.mlflow_tracking.track", track_in_copy)
        patch.setattr("bench.launch.worker_process.subprocess", Subprocess)
        patch.setattr("bench.certify.processes.count_cores", lambda: 1)
        patch.setattr("reports.figures.style.FORMATS", {"svg": ALL_FORMATS["svg"]})
        yield


@pytest.fixture
def every_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save figures in all formats, as users get them."""
    monkeypatch.setattr("reports.figures.style.FORMATS", ALL_FORMATS)
