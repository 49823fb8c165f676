"""The sampler's court: an oracle in the place of the network, and what is drawn beside what has to be drawn.

Where z holds ids, all that the steps can do is followed exactly: from each z to each other by the method's own law, so
that the law of texts after K calls is computed, not estimated. What separates it from that of the source is the price
of writing several positions at once (it falls as 1 / K), and what is drawn has to follow it at every K. Vectors cannot
be followed so; with many calls their texts are held against the source itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.oracle import Oracle, Source, Table, from_chain
from bench.certify.tightness import Figure, figure
from bench.data.markov import Markov
from bench.rng import Stream
from bench.sample import Policy, grid, refusal, sample
from methods.method import LogProbs, Method, Tokens

CALLS = (4, 16, 256)
TEXTS = 2**14  # drawn from a table
CHAIN_CALLS, CHAIN_TEXTS = 512, 2**10
CHAIN = Markov(order=1, alphabet=4, length=8)
EXACT: tuple[Policy, ...] = ("ancestral", "ddim")  # exact in the limit at the rate 1 / calls; Euler's error is larger

Law = Callable[[Tensor, Tensor, LogProbs], LogProbs]  # z, t and prediction at positions -> log-probabilities of states


@dataclass(frozen=True)
class Draws:
    """What was drawn from a table, beside the law that had to be drawn."""

    policy: Policy
    distance: dict[int, float]  # total variation of the computed law from that of the source, by network calls
    surprise: dict[int, float]  # of what was drawn, by network calls: about a standard normal number each
    nats: Figure  # -log p(x) of all drawn texts less its mean under the laws, nats a text; lower: too cold


@dataclass(frozen=True)
class Transitions:
    """What was drawn from a chain, beside its law."""

    policy: Policy
    surprise: float  # of the counts of transitions
    nats: Figure


def policies(method: Method) -> Iterator[Policy]:
    """Those that draw from the law of the source in the limit of many calls."""
    for policy in EXACT:
        if refusal(method, policy) is None and (policy == EXACT[0] or not method.needs.causal):
            yield policy


def has_room(method: Method, calls: int) -> bool:
    """Whether discrete time has steps for so many calls."""
    return method.needs.steps is None or calls <= method.needs.steps


def hear_table(method: Method, policy: Policy, source: Table, **oracle: Any) -> Draws:
    """Texts of an enumerable space; `oracle` is what an Oracle takes beside method and source."""
    model, distance, found = Oracle(method, source, **oracle), dict[int, float](), dict[int, float]()
    followed, nats = _is_followed(method), list[Tensor]()
    for calls in [each for each in CALLS if has_room(method, each)] if followed else CALLS[-1:]:
        ids = sample(model, TEXTS, source.length, calls, seed=calls, policy=policy).ids
        law = source.law
        if followed:
            law = follow(model, source, method.prior(torch.zeros_like(ids), Stream(calls)), calls)
            distance[calls] = float((law - source.law).abs().sum() / 2)
        counts = torch.bincount(places(ids, source.vocab_size), minlength=len(law))
        found[calls] = surprise(counts, law)
        nats.append(source.nats(ids) - law @ -source.law.log())
    return Draws(policy, distance, found, figure(torch.cat(nats)))


def hear_chain(method: Method, policy: Policy, **oracle: Any) -> Transitions:
    """Texts of a Markov chain: how often each symbol follows each, and what the texts cost by the chain's own law."""
    chain = CHAIN.draw_chain()
    source = from_chain(chain, CHAIN.length)
    ids = sample(Oracle(method, source, **oracle), CHAIN_TEXTS, source.length, CHAIN_CALLS, 0, policy).ids
    pairs = ids[:, :-1] * source.vocab_size + ids[:, 1:]
    counts = torch.bincount(pairs.flatten(), minlength=source.vocab_size**2).view(-1, source.vocab_size)
    expected = counts.sum(1, keepdim=True) * torch.from_numpy(chain.law)
    statistic = float(((counts - expected).square() / expected).sum())
    free = source.vocab_size * (source.vocab_size - 1)
    return Transitions(policy, normal(statistic, free), figure(source.nats(ids) - chain.entropy(source.length)))


def draws_itself(method: Method) -> bool:
    """Whether z holds ids and the method gives no law of its steps, so that it draws them by itself."""
    if method.needs.causal or method.needs.vector_width:
        return False
    z, t = method.prior(torch.zeros(1, 1, dtype=torch.long), Stream(0))[0], torch.full((1,), 0.5, dtype=torch.float64)
    prediction = method.read(torch.zeros(1, method.vocab_size + method.needs.extra_scores), z, t)
    return method.transition(z, t, t / 2, prediction) is None


def _is_followed(method: Method) -> bool:
    return not (method.needs.causal or method.needs.vector_width or draws_itself(method))


@torch.no_grad()
def follow(oracle: Oracle, source: Source, start: Tokens, calls: int) -> Tensor:
    """The law of texts that `calls` network calls draw from the z [n, L] in `start`, by enumeration [V^L]."""
    method, size = oracle.method, source.vocab_size + oracle.method.needs.extra_tokens
    every = torch.tensor(list(product(range(size), repeat=source.length)))
    law = torch.bincount(places(start, size), minlength=len(every)).double() / len(start)
    times = grid(method, calls)
    for t, s in pairwise(times):

        def step(z: Tensor, t: Tensor, prediction: LogProbs, s: Tensor = s) -> LogProbs:
            log_p = method.transition(z, t, s.expand_as(t), prediction)
            assert log_p is not None
            return log_p

        law = law @ _moves(oracle, every, t, step, size)
    return law @ _moves(oracle, every, times[-1], method.last_guess, source.vocab_size)


def _moves(oracle: Oracle, every: Tokens, t: Tensor, law: Law, size: int) -> Tensor:
    """p(next | z) for all z [n, L] and all next [size^L], of which positions move by themselves [n, size^L]."""
    each = t.expand(len(every))
    hidden, moves = oracle.hidden(every, each), F.one_hot(every.clamp(max=size - 1), size).double()
    for rows in oracle.chunks(every):
        prediction = oracle.predict(hidden, every, each, rows)
        moves[rows] = law(every[rows], each[rows[0]], prediction).double().softmax(-1)
    moves = moves.nan_to_num(0.0)  # of a z that cannot be
    joint = moves[:, 0]
    for i in range(1, every.shape[1]):
        joint = (joint[:, :, None] * moves[:, None, i]).flatten(1)
    return joint


def places(ids: Tokens, size: int) -> Tensor:
    """The place of each row [n, L] in the order of counting [n]."""
    return ids @ size ** torch.arange(ids.shape[1] - 1, -1, -1)


def surprise(counts: Tensor, law: Tensor) -> float:
    """How far counts lie from a law, as a standard normal number; infinite where what cannot be was drawn."""
    possible, expected = law > 0, law * counts.sum()
    if counts[~possible].any():
        return torch.inf
    statistic = float(((counts - expected).square() / expected)[possible].sum())
    return normal(statistic, int(possible.sum()) - 1)


def normal(statistic: float, free: int) -> float:
    """A chi-square with `free` degrees of freedom as a standard normal number (Wilson and Hilferty 1931)."""
    width = 2 / (9 * free)
    return ((statistic / free) ** (1 / 3) - (1 - width)) / width**0.5
