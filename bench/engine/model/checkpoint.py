"""Checkpoints: one file a cell, replaced atomically."""

import os
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"


def save(state: dict[str, Any], folder: Path) -> None:
    """Write the state of a training run to `folder`/checkpoint.pt; a kill leaves the old file or the new one."""
    partial = folder / f"{NAME}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAME)


def load(folder: Path) -> dict[str, Any] | None:
    """The state in `folder`, on the CPU; None when there is none. Raises ValueError where the file is not whole."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken bytes lead it to
        raise ValueError(f"{path} is not a whole checkpoint ({error}); remove it to train again") from error
