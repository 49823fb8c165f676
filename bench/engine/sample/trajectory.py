"""Sampling trajectories in compact form: the input of the first network call, and the changes of each call.

A frame is a text as ids: 0..V-1 for tokens, V for masks. Frame 0 is the input of the first network call, each later
frame is what a call left behind, and the last one is the finished text.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TypedDict

import torch
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.data.token_names import make_visible


class Trajectory(TypedDict):
    """The frames of one text; runs and changes are flat lists of pairs."""

    length: int  # tokens
    start: list[int]  # frame 0, run-length encoded: id, count, id, count, ...
    changes: list[list[int]]  # by network call: position, new id, position, new id, ...


def encode(frames: Sequence[Tensor]) -> list[Trajectory]:
    """Encode frames of ids [B, L], one more than there were network calls, as one trajectory per text.

    Raises ValueError if there is no frame, or if frames differ in shape.
    """
    shapes = {tuple(frame.shape) for frame in frames}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"{len(frames)} frames of shapes {sorted(shapes)}: give at least one, all of one shape [B, L]")
    texts = torch.stack([frame.to("cpu", torch.long) for frame in frames], 1)  # [B, frames, L]
    return [_encode(text) for text in texts]


def _encode(text: Tensor) -> Trajectory:
    """Encode the frames of one text [frames, L]."""
    start = [number for run, ids in groupby(text[0].tolist()) for number in (run, len(list(ids)))]
    changes = []
    for before, after in pairwise(text):
        (positions,) = torch.nonzero(before != after, as_tuple=True)
        changes.append(torch.stack([positions, after[positions]], 1).flatten().tolist())
    return Trajectory(length=text.shape[1], start=start, changes=changes)


def decode(trajectory: Trajectory) -> Tensor:
    """Return the frames of one text, ids [frames, L]. Raises ValueError if its start has the wrong length."""
    runs = torch.tensor(trajectory["start"], dtype=torch.long).reshape(-1, 2)
    frame = runs[:, 0].repeat_interleave(runs[:, 1])
    if len(frame) != trajectory["length"]:
        raise ValueError(f"a trajectory of {trajectory['length']} tokens starts with {len(frame)}: it is not whole")
    frames = [frame]
    for change in trajectory["changes"]:
        pairs = torch.tensor(change, dtype=torch.long).reshape(-1, 2)
        frames.append(frames[-1].index_copy(0, pairs[:, 0], pairs[:, 1]))
    return torch.stack(frames)


def show_tokens(data: Dataset) -> list[str]:
    """Return how each token is displayed: invisible characters and single bytes of longer ones are spelled out.

    A line break follows its sign.
    """
    return [_display(data.decode(torch.tensor([id])), id) for id in range(data.summary.vocab_size)]


def _display(text: str, id: int) -> str:
    if "\N{REPLACEMENT CHARACTER}" in text:
        return f"\\x{id:02x}"
    signs = {" ": " ", "\n": "↵\n", "\t": "⇥"}
    return "".join(signs.get(character) or make_visible(character) for character in text)


def count_changes(trajectory: Trajectory) -> list[int]:
    """Return the number of positions that each network call changed."""
    return [len(change) // 2 for change in trajectory["changes"]]
