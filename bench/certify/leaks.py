"""Find leaks of information on a network of random weights, and check the units of reported numbers."""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from bench.certify.random_network import random_network
from bench.engine.data.tokenizers.tokenizer import ByteTokenizer, Tokenizer, find_characters
from bench.engine.likelihood.metrics import bound_metrics
from bench.engine.model.method_with_network import Model, times
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from bench.engine.sample.sampler import sample
from methods.method import Latent, Method, Tokens

VOCAB_SIZE, SEQUENCES, LENGTH = 3, 64, 6
LONG, WIDE = 48, 300  # of a long text, and the tokens of a large vocabulary
SPREAD = 0.5  # of the random weights
ROUNDING = 1e-9
TEXT = "Größe 10 µm: 日本語 😀\n"  # characters of 1, 2, 3 and 4 bytes


class LeakCheck(NamedTuple):
    """A check for one kind of leak."""

    name: str
    change: float  # the largest one, to be at most ROUNDING
    meaning: str


@torch.no_grad()
def find_leaks(method: Method) -> Iterator[LeakCheck]:
    """Run the checks that apply to a method."""
    model = random_network(method, SPREAD, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(VOCAB_SIZE, (SEQUENCES, LENGTH), generator=generator)
    t = times(method, torch.rand(SEQUENCES, generator=generator, dtype=torch.float64))
    with in_sequences(method, x):
        z = method.corrupt(x, t, Stream(0))
        scored = method.scored(z)
    if method.needs.causal:
        change = max(_future_leak(model, x, t), _own_token_leak(method, x, t))
        yield LeakCheck("the future", change, "predictions do not depend on tokens at or after their position")
    if not method.needs.time:
        change = _time_leak(model, z, t)
        yield LeakCheck("the time", change, "scores of a network without time conditioning do not depend on t")
    if scored is not None:
        change = _known_target_leak(model, x, z, t, scored)
        yield LeakCheck("known targets", change, "positions that are not scored cost nothing, whatever their target")
    calls = (1, min(4, method.needs.steps or 4))  # all tokens written by the last guess, or most of them by steps
    ids = torch.cat([sample(model, SEQUENCES, LENGTH, count, seed=0).ids for count in calls])
    outside = float(((ids < 0) | (ids >= VOCAB_SIZE)).sum())
    yield LeakCheck("ids of samples", outside, "samples contain no mask and no other id outside the vocabulary")
    yield LeakCheck("units", unit_error(), "bits per byte count the bytes of the text, whatever a token is")


@torch.no_grad()
def find_long_leaks(method: Method) -> Iterator[LeakCheck]:
    """Run the check of the future on long texts of a large vocabulary, if it applies."""
    if not method.needs.causal:
        return
    model = random_network(method, SPREAD, seed=0).eval()
    x = torch.randint(method.vocab_size, (2, LONG), generator=torch.Generator().manual_seed(0))
    change = _future_leak(model, x, torch.ones(2, dtype=torch.float64))
    meaning = f"scores do not depend on later tokens, in texts of {LONG} of {method.vocab_size} tokens"
    yield LeakCheck("the future, long and wide", change, meaning)


def _future_leak(model: Model, x: Tokens, t: Tensor) -> float:
    """How much the scores of a position change with its own and all later tokens."""
    before, moved = model.network.head(model.hidden(x, t)), 0.0
    for i in range(x.shape[1]):
        changed = x.clone()
        changed[:, i:] = (changed[:, i:] + 1) % model.vocab_size
        moved = max(moved, float((model.network.head(model.hidden(changed, t)) - before)[:, : i + 1].abs().max()))
    return moved


def _own_token_leak(method: Method, x: Tokens, t: Tensor) -> float:
    """How much the reading of given scores changes with the token that they predict."""
    scores = torch.randn(*x.shape, VOCAB_SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = t[:, None].expand(x.shape)
    with in_sequences(method, x):
        return float((method.read(scores, x, at) - method.read(scores, (x + 1) % VOCAB_SIZE, at)).abs().max())


def _time_leak(model: Model, z: Latent, t: Tensor) -> float:
    """How much the scores change with t."""
    return float((model.hidden(z, t) - model.hidden(z, t / 2)).abs().max())


def _known_target_leak(model: Model, x: Tokens, z: Latent, t: Tensor, scored: Tensor) -> float:
    """The cost of positions that are not scored, and how much it changes with their targets."""
    sequences, positions = (~scored).nonzero(as_tuple=True)
    if not len(sequences):
        return 0.0
    method, rows = model.method, (sequences, positions)
    prediction = model.predict(model.hidden(z, t), z, t, rows)
    changed, change = torch.where(scored, x, (x + 1) % VOCAB_SIZE), 0.0
    for cost in (method.bound, method.objective):
        with at_positions(method, rows[1], x.shape[1]):
            unpaid = cost(x[rows], z[rows], t[rows[0]], prediction)
        moved = model.costs(cost, changed, z, t) - model.costs(cost, x, z, t)
        change = max(change, float(unpaid.abs().max()), float(moved.abs().max()))
    return change


@cache
def unit_error() -> float:
    """The relative error of bits per byte of a text that costs one bit per token."""
    error = 0.0
    for vocabulary in (find_characters(TEXT), ByteTokenizer()):
        ids = vocabulary.encode(TEXT)
        error = max(error, abs(_bits_per_byte(vocabulary, len(ids)) * len(TEXT.encode()) / len(ids) - 1))
    return error


def _bits_per_byte(vocabulary: Tokenizer, tokens: int) -> float:
    nats = {"integral": torch.full((1, 2), tokens * math.log(2), dtype=torch.float64)}
    sizes = [vocabulary.count_bytes(vocabulary.encode(TEXT))]
    return bound_metrics(nats, tokens, sizes, vocabulary.level)["bits_per_byte"].value
