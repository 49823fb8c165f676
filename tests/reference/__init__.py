"""Outputs of the authors' own code on fixed inputs; see README.md beside this file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).parent
NOT_USED = {  # cases of the whole set that nothing is compared with, and why; the files are not here
    "mdlm_finiteT_edge_first_step": "holds NaN alone: their loss divides by 0 in the first step of fewer than 1000",
    "unid2_mdlm_sampler": "a clean token that is drawn may be the mask itself (D1): there is no law of a step in it",
}
loaded: set[str] = set()  # the cases that were asked for since the tests began


def load(case: str) -> dict[str, Tensor]:
    """The arrays of one case by name; ids int64, numbers float64."""
    loaded.add(case)
    with np.load(HERE / f"{case}.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
