"""Probes for leaks: what a method claims to know must not be paid by looking, on a network of random weights."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.certify.kraft import random_network
from bench.model import Model, times
from bench.rng import Stream
from bench.sample import sample
from methods.method import Latent, Method, Tokens

VOCAB_SIZE, TEXTS, LENGTH = 3, 64, 6
SPREAD = 0.5  # of the random weights
ROUNDING = 1e-9

Probe = tuple[str, float, str]  # what is asked, the largest change that was seen, and what has to hold


@torch.no_grad()
def probe(method: Method) -> Iterator[Probe]:
    """The probes that apply to the method; each change has to be at most ROUNDING."""
    model = random_network(method, SPREAD, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(VOCAB_SIZE, (TEXTS, LENGTH), generator=generator)
    t = times(method, torch.rand(TEXTS, generator=generator, dtype=torch.float64))
    z = method.corrupt(x, t, Stream(0))
    if method.needs.causal:
        yield "the future", _future(model, x, t), "scores do not change when tokens at or after them do"
    if not method.needs.time:
        yield "the time", _told(model, z, t), "a network that is not told the time does not react to it"
    calls = (1, min(4, method.needs.steps or 4))  # all by the last guess; most by steps
    ids = torch.cat([sample(model, TEXTS, LENGTH, each, seed=0).ids for each in calls])
    outside = float(((ids < 0) | (ids >= VOCAB_SIZE)).sum())
    yield "ids of samples", outside, "no mask and no other id beyond the vocabulary is ever written"


def _future(model: Model, x: Tokens, t: Tensor) -> float:
    """How much the scores of a position move when its token and all later ones change."""
    before, moved = model.network.head(model.hidden(x, t)), 0.0
    for i in range(LENGTH):
        other = x.clone()
        other[:, i:] = (other[:, i:] + 1) % VOCAB_SIZE
        moved = max(moved, float((model.network.head(model.hidden(other, t)) - before)[:, : i + 1].abs().max()))
    return moved


def _told(model: Model, z: Latent, t: Tensor) -> float:
    """How much the scores move when the clock is turned back."""
    return float((model.hidden(z, t) - model.hidden(z, t / 2)).abs().max())
