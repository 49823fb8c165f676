"""Where the positions stand that a verb is called for: set around every verb of a method that needs to know."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from methods.method import Latent, Method, Place


def at_positions(method: Method, positions: Tensor, length: int) -> AbstractContextManager[None]:
    """Tell the method that P are these `positions` [*P] of sequences of `length` tokens."""
    if not method.needs.positions:
        return nullcontext()
    assert not positions.is_floating_point(), positions.dtype
    outer = method.place
    is_prefix = outer is not None and outer.positions is None
    return _placed(method, Place(positions, outer.length if outer is not None and is_prefix else length))


def in_sequences(method: Method, z: Latent) -> AbstractContextManager[None]:
    """Tell the method that P are the positions of whole sequences z [B, L], or vectors [B, L, D]."""
    if not method.needs.positions:
        return nullcontext()
    count, length = z.shape[:2]
    return at_positions(method, torch.arange(length, device=z.device).expand(count, length), length)


def in_prefixes(method: Method, length: int) -> AbstractContextManager[None]:
    """Tell the method that sequences are the beginnings of texts of `length` tokens, as they are being written."""
    return _placed(method, Place(None, length)) if method.needs.positions else nullcontext()


@contextmanager
def _placed(method: Method, place: Place) -> Iterator[None]:
    before, method.place = method.place, place
    try:
        yield
    finally:
        method.place = before
