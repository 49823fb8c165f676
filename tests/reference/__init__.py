"""Outputs of the authors' own code on fixed inputs; see README.md beside this file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def load(case: str) -> dict[str, Tensor]:
    """The arrays of one case by name; ids int64, numbers float64."""
    with np.load(Path(__file__).parent / f"{case}.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
