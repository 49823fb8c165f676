"""The sampler's court: an oracle in the place of the network, and what is drawn beside what has to be drawn.

Where z holds ids, all that the steps can do is followed exactly: from each z to each other by the method's own law, so
that the law of texts after K calls is computed, not estimated. What separates it from that of the source is the price
of writing several positions at once (it falls as 1 / K), and what is drawn has to follow it at every K. Vectors cannot
be followed so; with many calls their texts are held against the source itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.oracle import Oracle, Source, Table, from_chain
from bench.certify.policy_laws import is_chosen, law_of
from bench.certify.tightness import Figure, figure
from bench.engine.data.sources.markov import Markov
from bench.engine.rng import Stream
from bench.engine.sample.capabilities import has_law
from bench.engine.sample.policies import Policy, times
from bench.engine.sample.policies.ancestral import Ancestral, Ddim, Euler
from bench.engine.sample.policies.policy import Stepping
from bench.engine.sample.policies.remasking import Remask, SelfCorrect
from bench.engine.sample.policies.unmasking import Confidence, EntropyBounded, FirstHitting, Margin
from bench.engine.sample.sampler import sample
from methods.method import LogProbs, Method, Tokens

CALLS = (4, 16, 256)
TEXTS = 2**14  # drawn from a table
CHAIN_CALLS, CHAIN_TEXTS = 512, 2**10
CHAIN = Markov(order=1, alphabet=4, length=8)
CORRECTIONS = 2  # of a text, by the policy that corrects itself
CHOSEN_CALLS = 6  # where all that may be chosen is gone through
USUAL: tuple[Policy, ...] = (Ancestral(), Ddim())  # they are heard at every number of calls, and on the chain
OTHERS: tuple[Policy, ...] = (  # in few calls
    Ancestral(grid="cosine"),
    Ancestral(cached=True),
    Euler(),
    FirstHitting(),
    EntropyBounded(budget=0.0),
    Remask(eta=0.1),
    Remask(rule="rescale", eta=0.5),
    Remask(rule="star"),
    Remask(rule="rescale", eta=0.9, confident=True),
    Confidence(),
    Margin(),
    EntropyBounded(budget=1.05),  # both tokens of a pair at once
    SelfCorrect(corrections=CORRECTIONS, temperature=0.5),
)

Law = Callable[[Tensor, Tensor, LogProbs], LogProbs]  # z, t and prediction at positions -> log-probabilities of states


@dataclass(frozen=True)
class Draws:
    """What was drawn from a table, beside the law that had to be drawn."""

    policy: Policy
    distance: dict[int, float]  # total variation of a computed law from that of the source, by network calls
    surprise: dict[int, float]  # of what was drawn, by network calls: about a standard normal number each
    nats: Figure  # -log p(x) of all drawn texts less its mean under the laws, nats a text; lower: too cold


@dataclass(frozen=True)
class Transitions:
    """What was drawn from a chain, beside its law."""

    policy: Policy
    surprise: float  # of the counts of transitions
    nats: Figure


def fits(method: Method, policy: Policy, calls: int, tokens: int) -> bool:
    """Whether the method can be sampled so; of causal methods their own way alone."""
    own = not method.needs.causal or policy == USUAL[0]
    return own and policy.refusal(method, calls, tokens) is None


def enough(method: Method, policy: Policy, tokens: int) -> int | None:
    """In how many calls one of the others is heard; None where it does not suit the method."""
    many = CHOSEN_CALLS if is_chosen(policy) else CALLS[1] if is_followed(method, policy) else CALLS[-1]
    return next((calls for calls in (many, tokens) if fits(method, policy, calls, tokens)), None)


def hear_table(method: Method, policy: Policy, source: Table, calls: Sequence[int], **oracle: Any) -> Draws:
    """Texts of an enumerable space, drawn in each number of `calls`; `oracle` is what an Oracle takes beside."""
    model, found, nats = Oracle(method, source, **oracle), dict[int, float](), []
    rooms = [each for each in CALLS if fits(method, policy, each, source.length)]
    told = rooms if is_followed(method, policy) else calls if is_chosen(policy) else []
    laws = {each: computed(model, source, policy, each) for each in {*told, *calls}}
    distance = {each: float((laws[each] - source.law).abs().sum() / 2) for each in told}
    for each in calls:
        ids, law = sample(model, TEXTS, source.length, each, seed=each, policy=policy).ids, laws[each]
        found[each] = surprise(torch.bincount(places(ids, source.vocab_size), minlength=len(law)), law)
        nats.append(source.nats(ids) - law @ -source.law.log())
    return Draws(policy, distance, found, figure(torch.cat(nats)))


def hear_chain(method: Method, policy: Policy, calls: int, **oracle: Any) -> Transitions:
    """Texts of a Markov chain: how often each symbol follows each, and what the texts cost by the chain's own law."""
    chain = CHAIN.draw_chain()
    source = from_chain(chain, CHAIN.length)
    ids = sample(Oracle(method, source, **oracle), CHAIN_TEXTS, source.length, calls, 0, policy).ids
    pairs = ids[:, :-1] * source.vocab_size + ids[:, 1:]
    counts = torch.bincount(pairs.flatten(), minlength=source.vocab_size**2).view(-1, source.vocab_size)
    expected = counts.sum(1, keepdim=True) * torch.from_numpy(chain.law)
    statistic = float(((counts - expected).square() / expected).sum())
    free = source.vocab_size * (source.vocab_size - 1)
    return Transitions(policy, normal(statistic, free), figure(source.nats(ids) - chain.entropy(source.length)))


def draws_itself(method: Method) -> bool:
    """Whether z holds ids and the method gives no law of its steps, so that it draws them by itself."""
    return not (method.needs.causal or method.needs.vector_width or has_law(method))


def is_followed(method: Method, policy: Policy) -> bool:
    """Whether every z can be told, and each position moves by a law of its own."""
    ids = not (method.needs.causal or method.needs.vector_width)
    own = isinstance(policy, Stepping) and not is_chosen(policy)
    return ids and own and (not isinstance(policy, Ancestral) or has_law(method))


def computed(oracle: Oracle, source: Table, policy: Policy, calls: int) -> Tensor:
    """The law of texts that has to be drawn in so many calls [V^L]: step by step, by all that may be chosen, or that of
    the source itself."""
    steps = SelfCorrect.ancestral if isinstance(policy, SelfCorrect) else policy
    before = None
    if is_followed(oracle.method, steps):
        made = calls - policy.corrections if isinstance(policy, SelfCorrect) else calls
        before = follow(oracle, source, steps, starts(oracle, source, calls), made)
    if is_chosen(policy):
        return law_of(oracle, policy, source.length, calls, before)
    return source.law if before is None else before


def starts(oracle: Oracle, source: Source, seed: int) -> Tokens:
    """The z at t = 1 from which `sample` draws its texts with this seed [n, L]."""
    return oracle.method.prior(torch.zeros(TEXTS, source.length, dtype=torch.long), Stream(seed))


@torch.no_grad()
def follow(oracle: Oracle, source: Source, policy: Policy, start: Tokens, calls: int) -> Tensor:
    """The law of texts that `calls` network calls draw from the z [n, L] in `start`, by enumeration [V^L]."""
    method, size = oracle.method, source.vocab_size + oracle.method.needs.extra_tokens
    assert isinstance(policy, Stepping)
    every = torch.tensor(list(product(range(size), repeat=source.length)))
    law = torch.bincount(places(start, size), minlength=len(every)).double() / len(start)
    at = times(method, calls, policy.grid)
    for t, s in pairwise(at):

        def step(z: Tensor, t: Tensor, prediction: LogProbs, s: Tensor = s) -> LogProbs:
            log_p = policy.law(method, z, t, s.expand_as(t), prediction)
            assert log_p is not None
            return log_p

        law = law @ _moves(oracle, every, t, step, size, policy.masks_again(method, t, s))
    return law @ _moves(oracle, every, at[-1], method.last_guess, source.vocab_size, torch.zeros(()))


def _moves(oracle: Oracle, every: Tokens, t: Tensor, law: Law, size: int, again: Tensor) -> Tensor:
    """p(next | z) for all z [n, L] and all next [size^L], of which positions move by themselves [n, size^L].

    What is not scored stays, or with probability `again` turns into the mask.
    """
    each = t.expand(len(every))
    hidden, moves = oracle.hidden(every, each), F.one_hot(every.clamp(max=size - 1), size).double()
    if again > 0:
        moves = (1 - again) * moves + again * F.one_hot(torch.full_like(every, size - 1), size)
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
