"""From what a suite names to the scorer itself."""

from pathlib import Path

import torch

from bench.engine.data import Dataset
from bench.engine.quality.scorers.huggingface import HuggingFaceScorer
from bench.engine.quality.scorers.scorer import Scorer
from bench.engine.quality.scorers.settings import HuggingFace, ScorerSpec, TrainedCell
from bench.engine.quality.scorers.trained_cell import CellScorer


def open_scorer(
    spec: ScorerSpec, base: Path, data: Dataset, device: torch.device, steps: int, trained: Path | None = None
) -> Scorer:
    """Load the scorer that `spec` names, for texts of `data`; relative folders start at `base`.

    `steps` are the training steps of the suite's arms, `trained` is the folder of the suite's own scorer. Raises
    ScorerError.
    """
    name = spec.name(steps)
    if isinstance(spec, HuggingFace):
        return HuggingFaceScorer(spec.folder(base) or spec.model, spec.revision, device, name, spec.batch, spec.context)
    folder = spec.folder(base) if isinstance(spec, TrainedCell) else trained
    assert folder is not None, f"{name} was not given the folder of its cell"
    return CellScorer(folder, data, device, name)
