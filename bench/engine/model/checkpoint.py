"""Checkpoints: one file per cell, replaced atomically.

A checkpoint holds "model", "ema" and "optimizer" (state dicts), the states of the random generators, and the counters
and learning curves of the training run; `bench.engine.train.trainer.Trainer.state` writes it.
"""

import os
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"

OLD_KEYS = {"average": "ema", "optimiser": "optimizer"}  # of checkpoints written by earlier versions
OLD_COUNTERS = {"noisings": "noise_draws", "ends": "end_draws"}  # of their entry "progress"


def save(state: dict[str, Any], folder: Path) -> None:
    """Write the state of a training run to `folder`/checkpoint.pt; a kill leaves the old file or the new one."""
    partial = folder / f"{NAME}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAME)


def load(folder: Path) -> dict[str, Any] | None:
    """Return the state saved in `folder`, on the CPU; None if there is none.

    Raises ValueError if the file is truncated or damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes lead it to
        raise ValueError(f"{path} is not a whole checkpoint ({error}); remove it to train again") from error
    return normalize_checkpoint(state)


def normalize_checkpoint(state: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys that earlier versions used to those of today; leave a checkpoint of today as it is."""
    renamed = {OLD_KEYS.get(name, name): value for name, value in state.items()}
    counters = renamed.get("progress", {})
    renamed["progress"] = {OLD_COUNTERS.get(name, name): count for name, count in counters.items()}
    return renamed
