"""What several tests share: a suite small enough to train in seconds, and a place to run it."""

from pathlib import Path

import pytest
import torch

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
