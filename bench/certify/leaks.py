"""Probes of dimensions and leaks: what a method claims to know must not be paid by looking, on a network of random
weights, and numbers must be in the units that they are told in."""

import math
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from bench.certify.kraft import random_network
from bench.engine.data.tokenizers.tokenizer import ByteTokenizer, Tokenizer, find_characters
from bench.engine.likelihood.metrics import bound_metrics
from bench.engine.model.model import Model, times
from bench.engine.rng import Stream
from bench.engine.sample.sampler import sample
from methods.method import Latent, Method, Tokens

VOCAB_SIZE, TEXTS, LENGTH = 3, 64, 6
SPREAD = 0.5  # of the random weights
ROUNDING = 1e-9
TEXT = "Größe 10 µm: 日本語 😀\n"  # characters of 1, 2, 3 and 4 bytes

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
    if method.scored(z) is not None:
        yield "known targets", _known(model, x, z, t), "positions that are not scored cost nothing, whatever is there"
    calls = (1, min(4, method.needs.steps or 4))  # all by the last guess; most by steps
    ids = torch.cat([sample(model, TEXTS, LENGTH, each, seed=0).ids for each in calls])
    outside = float(((ids < 0) | (ids >= VOCAB_SIZE)).sum())
    yield "ids of samples", outside, "no mask and no other id beyond the vocabulary is ever written"
    yield "units", units(), "bits a byte are those of the text decoded and encoded again, at any level of tokens"


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


def _known(model: Model, x: Tokens, z: Latent, t: Tensor) -> float:
    """What the method's costs come to where nothing is scored, and how much the loss moves when targets there do."""
    method, scored = model.method, model.method.scored(z)
    assert scored is not None
    sequences, positions = (~scored).nonzero(as_tuple=True)
    rows = (sequences, positions)
    prediction = model.predict(model.hidden(z, t), z, t, rows)
    other, found = torch.where(scored, x, (x + 1) % VOCAB_SIZE), 0.0
    for cost in (method.bound, method.objective):
        unpaid = cost(x[rows], z[rows], t[rows[0]], prediction)
        moved = model.costs(cost, other, z, t) - model.costs(cost, x, z, t)
        found = max(found, float(unpaid.abs().max()), float(moved.abs().max()))
    return found


@cache
def units() -> float:
    """How far bits a byte are from what a text of a known number of bytes costs at one bit a token."""
    off = 0.0
    for vocabulary in (find_characters(TEXT), ByteTokenizer()):
        ids = vocabulary.encode(TEXT)
        off = max(off, abs(_bits_per_byte(vocabulary, len(ids)) * len(TEXT.encode()) / len(ids) - 1))
    return off


def _bits_per_byte(vocabulary: Tokenizer, tokens: int) -> float:
    nats = {"integral": torch.full((1, 2), tokens * math.log(2), dtype=torch.float64)}
    sizes = [vocabulary.count_bytes(vocabulary.encode(TEXT))]
    return bound_metrics(nats, tokens, sizes, vocabulary.level)["bits_per_byte"].value
