"""How a text came about, kept small: what the first network call saw, and what each call changed.

A frame is the text as ids: of the vocabulary 0..V-1, and V for what is still masked. Frame 0 is what the first network
call saw, each later one what a call left behind, and the last the finished text.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise

import torch
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.data.token_names import make_visible
from bench.engine.records import Trajectory


def encode(frames: Sequence[Tensor]) -> list[Trajectory]:
    """The trajectory of each text, from frames of ids [B, L], one more than there were network calls.

    Raises ValueError where there is no frame, or where frames are of different shapes.
    """
    shapes = {tuple(frame.shape) for frame in frames}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"{len(frames)} frames of shapes {sorted(shapes)}: give at least one, all of one shape [B, L]")
    texts = torch.stack([frame.to("cpu", torch.long) for frame in frames], 1)  # [B, frames, L]
    return [_encode(text) for text in texts]


def _encode(text: Tensor) -> Trajectory:
    """The trajectory of one text [frames, L]."""
    start = [number for run, ids in groupby(text[0].tolist()) for number in (run, len(list(ids)))]
    changes = []
    for before, after in pairwise(text):
        (places,) = torch.nonzero(before != after, as_tuple=True)
        changes.append(torch.stack([places, after[places]], 1).flatten().tolist())
    return Trajectory(length=text.shape[1], start=start, changes=changes)


def decode(trajectory: Trajectory) -> Tensor:
    """The frames of one text, ids [frames, L]. Raises ValueError where its start is not as long as it says."""
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
    """What each token looks like by itself: signs that do not show, and bytes of a longer character, are spelled out;
    a line ends behind its sign."""
    return [_shown(data.decode(torch.tensor([id])), id) for id in range(data.summary.vocab_size)]


def _shown(text: str, id: int) -> str:
    if "\N{REPLACEMENT CHARACTER}" in text:
        return f"\\x{id:02x}"
    signs = {" ": " ", "\n": "↵\n", "\t": "⇥"}
    return "".join(signs.get(sign) or make_visible(sign) for sign in text)


def changed(trajectory: Trajectory) -> list[int]:
    """How many positions each network call changed."""
    return [len(change) // 2 for change in trajectory["changes"]]
