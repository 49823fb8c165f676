"""Identities: given the same predictions, a method and its neighbor have the same bound at every position."""

import torch
from torch import Tensor

from bench.engine.model.positions import at_positions
from bench.engine.rng import Stream
from methods import build
from methods.method import Method, Nats, Neighbour, Tokens

VOCAB_SIZE, POSITIONS = 5, 4000
LENGTH = 8  # of the sequences in which the positions stand


@torch.no_grad()
def compare_bounds(name: str, neighbour: Neighbour) -> float:
    """The mean difference between two bounds relative to their mean, over random texts, times and predictions."""
    method = build(name, VOCAB_SIZE, **neighbour.own)
    relative = build(neighbour.name, VOCAB_SIZE, **neighbour.theirs)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(VOCAB_SIZE, (POSITIONS, 1), generator=generator)
    guess = torch.randn(POSITIONS, VOCAB_SIZE, generator=generator, dtype=torch.float64).log_softmax(-1)
    t = torch.randint(2, 1000, (POSITIONS,), generator=generator).double() / 1000  # on the grid of discrete time, too
    with at_positions(method, _positions()[:, None], LENGTH):
        z = method.corrupt(x, t, Stream(0))[:, 0]
    bound, theirs = (_bound(candidate, x[:, 0], z, t, guess) for candidate in (method, relative))
    return float((bound - theirs).abs().mean() / theirs.abs().mean())


def _bound(method: Method, x: Tokens, z: Tensor, t: Tensor, guess: Tensor) -> Nats:
    """The bound of a network with these predictions, whatever its scores mean."""
    with at_positions(method, _positions(), LENGTH):
        return method.bound(x, z, t, method.read(method.perfect(guess, guess, z, t), z, t))


def _positions() -> Tensor:
    """Where each position stands in a sequence of LENGTH tokens [POSITIONS]."""
    return torch.arange(POSITIONS) % LENGTH
