"""Trained cells that may score texts, for several tests."""

import json
import shutil
from pathlib import Path

from pydantic import TypeAdapter

from bench.engine.data import Dataset, DataSpec, load
from bench.launch.job_files import submit
from bench.launch.pulse import Pulse
from bench.launch.worker import Worker
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.suite.suite import read
from tests.conftest import TINY


def train_cells(folder: Path) -> Path:
    """A folder of trained cells: AR and MDLM on three letters, averaged weights and last ones far apart."""
    text = TINY.replace("batch_size: 8", "batch_size: 8, learning_rate: 0.05").replace("width:", "dropout: 0.5, width:")
    (folder / "tiny.yaml").write_text(text)
    planned = plan(read(folder / "tiny.yaml"))
    submit(folder, planned)
    for cell in planned.cells:
        worker = Worker(folder_of(folder, cell))
        worker._run_stage(worker.job.stages[0], Pulse(worker.folder, "train"))
    return folder


def cell_of(runs: Path, method: str) -> Path:
    (cell,) = (
        path.parent for path in runs.glob("cells/*/job.json") if json.loads(path.read_text())["method"] == method
    )
    return cell


def source(folder: Path, **changes) -> Dataset:
    block = {"source": "markov", "length": 12, "alphabet": 3, "train": 64, "valid": 16, "test": 16, **changes}
    return load(TypeAdapter(DataSpec).validate_python(block), folder, folder / "data")


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))
