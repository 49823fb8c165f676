"""Check the sampler with an oracle in place of the network: compare its samples with their exact law.

If z holds ids, the law of samples after K calls is computed exactly: each step's transition matrix, over all z, comes
from the method's own law. The distance of this law from the source is the cost of writing several positions in
parallel, which falls as 1 / K, and samples must follow the law at every K. If z holds vectors, its law cannot be
enumerated; samples of many calls are compared with the source itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.false_alarms import Estimate, GoodnessOfFit, estimate_mean
from bench.certify.oracle import Oracle, Source, Table, from_chain
from bench.certify.policy_laws import depends_on_draws, enumerate_law
from bench.engine.data.sources.markov import Markov
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from bench.engine.sample.method_capabilities import has_law
from bench.engine.sample.policies import Policy, times
from bench.engine.sample.policies.ancestral import Ancestral, Ddim, Euler
from bench.engine.sample.policies.policy import Stepping
from bench.engine.sample.policies.remasking import Remask, SelfCorrect
from bench.engine.sample.policies.unmasking import Confidence, EntropyBounded, FirstHitting, Margin
from bench.engine.sample.sampler import sample
from methods.method import LogProbs, Method, Tokens

CALLS = (4, 16, 256)
SAMPLES = 2**14  # from a table
FEWEST = 10  # expected texts of a kind that are counted apart
FINAL_CALLS = 64  # where the law of samples cannot be computed and they are compared with the source's
CHAIN_CALLS, CHAIN_SAMPLES = 512, 2**10
CHAIN = Markov(order=1, alphabet=4, length=8)
CORRECTIONS = 2  # per sample, by self-correction
ENUMERATED_CALLS = 6  # for policies whose choices are enumerated
COMMON_POLICIES: tuple[Policy, ...] = (Ancestral(), Ddim())  # checked at every number of calls, and on a chain
OTHER_POLICIES: tuple[Policy, ...] = (  # checked at one number of calls
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
    EntropyBounded(budget=1.05),  # writes both tokens of a pair at once
    SelfCorrect(corrections=CORRECTIONS, temperature=0.5),
)

TransitionLaw = Callable[[Tensor, Tensor, LogProbs], LogProbs]  # z, t, prediction -> log p of the next z


@dataclass(frozen=True)
class TableSamples:
    """Samples of a table compared with their law."""

    policy: Policy
    distance: dict[int, float]  # by network calls: total variation between the computed law and the source's
    fits: dict[int, GoodnessOfFit]  # by network calls: of the counts of samples to their law
    nats: Estimate  # -log p(x) of all samples minus its mean under their laws, nats per sample; negative: too cold


@dataclass(frozen=True)
class ChainSamples:
    """Samples of a Markov chain compared with its law."""

    policy: Policy
    fit: GoodnessOfFit  # of the counts of transitions to the chain's law
    nats: Estimate


def is_supported(method: Method, policy: Policy, calls: int, tokens: int) -> bool:
    """Whether a policy can sample a method in this number of calls; causal methods are sampled in one way."""
    is_own_policy = not method.needs.causal or policy == COMMON_POLICIES[0]
    return is_own_policy and policy.refusal(method, calls, tokens) is None


def choose_calls(method: Method, policy: Policy, tokens: int) -> int | None:
    """The number of calls at which one of the other policies is checked; None if the method does not support it."""
    if depends_on_draws(policy):
        preferred = ENUMERATED_CALLS
    else:
        preferred = CALLS[1] if is_enumerable(method, policy) else FINAL_CALLS
    candidates = (preferred, tokens)
    if policy.fidelity == "limit" and not is_enumerable(method, policy) and not depends_on_draws(policy):
        candidates = (FINAL_CALLS, FINAL_CALLS // 2)  # the source's law is reached by many calls alone
    return next((calls for calls in candidates if is_supported(method, policy, calls, tokens)), None)


def table_calls(method: Method, policy: Policy, tokens: int) -> list[int]:
    """The numbers of calls at which one of the common policies is checked on a table; none if it is not supported."""
    candidates = CALLS[:2] if is_enumerable(method, policy) else (FINAL_CALLS,)
    return [calls for calls in candidates if is_supported(method, policy, calls, tokens)]


def chain_calls(method: Method) -> int:
    """The number of calls on a chain: masks are written in parallel, which needs many; vectors move all at once."""
    return CHAIN_CALLS if not method.needs.vector_width else CHAIN_CALLS // 4


def sample_table(
    method: Method, policy: Policy, source: Table, calls: Sequence[int], seed: int = 0, **oracle: Any
) -> TableSamples:
    """Sample an enumerable space in each number of `calls`, and compare; `oracle` are further arguments of Oracle."""
    model = Oracle(method, source, **oracle)
    computed: Sequence[int] = []  # numbers of calls whose law differs from the source's
    if is_enumerable(method, policy):
        computed = [count for count in CALLS if is_supported(method, policy, count, source.length)]
    elif depends_on_draws(policy):
        computed = calls
    seeds = {count: 1000 * seed + count for count in {*computed, *calls}}
    laws = {count: expected_law(model, source, policy, count, seeds[count]) for count in seeds}
    distance = {count: float((laws[count] - source.law).abs().sum() / 2) for count in computed}

    fits, nats = dict[int, GoodnessOfFit](), []
    for count in calls:
        law = laws[count]
        ids = sample(model, SAMPLES, source.length, count, seed=seeds[count], policy=policy).ids
        fits[count] = fit_law(torch.bincount(text_indices(ids, source.vocab_size), minlength=len(law)), law)
        nats.append(source.nats(ids) - law @ -source.law.log())
    return TableSamples(policy, distance, fits, estimate_mean(torch.cat(nats)))


def sample_chain(method: Method, policy: Policy, calls: int, seed: int = 0, **oracle: Any) -> ChainSamples:
    """Sample a Markov chain, and compare the counts of transitions and the samples' -log p(x) with the chain's law."""
    chain = CHAIN.draw_chain()
    source = from_chain(chain, CHAIN.length)
    ids = sample(Oracle(method, source, **oracle), CHAIN_SAMPLES, source.length, calls, seed, policy).ids
    pairs = ids[:, :-1] * source.vocab_size + ids[:, 1:]
    counts = torch.bincount(pairs.flatten(), minlength=source.vocab_size**2).view(-1, source.vocab_size)
    expected = counts.sum(1, keepdim=True) * torch.from_numpy(chain.law)
    statistic = float(((counts - expected).square() / expected).sum())
    freedom = source.vocab_size * (source.vocab_size - 1)
    nats = estimate_mean(source.nats(ids) - chain.entropy(source.length))
    return ChainSamples(policy, GoodnessOfFit(statistic, freedom), nats)


def draws_own_steps(method: Method) -> bool:
    """Whether z holds ids but the method gives no law of its steps, so it draws them itself."""
    return not (method.needs.causal or method.needs.vector_width or has_law(method))


def is_enumerable(method: Method, policy: Policy) -> bool:
    """Whether z is discrete and positions move independently given z, so the law of samples can be enumerated."""
    holds_ids = not (method.needs.causal or method.needs.vector_width)
    is_independent = isinstance(policy, Stepping) and not depends_on_draws(policy)
    return holds_ids and is_independent and (not isinstance(policy, Ancestral) or has_law(method))


def expected_law(oracle: Oracle, source: Table, policy: Policy, calls: int, seed: int = 0) -> Tensor:
    """The law that samples must follow [V^L]: propagated step by step, enumerated over choices, or the source's."""
    steps = SelfCorrect.ancestral if isinstance(policy, SelfCorrect) else policy
    law = None
    if is_enumerable(oracle.method, steps):
        step_count = calls - policy.corrections if isinstance(policy, SelfCorrect) else calls
        law = propagate(oracle, source, steps, draw_starts(oracle, source, seed), step_count)
    if depends_on_draws(policy):
        return enumerate_law(oracle, policy, source.length, calls, law)
    return source.law if law is None else law


def draw_starts(oracle: Oracle, source: Source, seed: int) -> Tokens:
    """The z at t = 1 from which `sample` starts with this seed [n, L]."""
    blank = torch.zeros(SAMPLES, source.length, dtype=torch.long)
    with in_sequences(oracle.method, blank):
        return oracle.method.prior(blank, Stream(seed))


@torch.no_grad()
def propagate(oracle: Oracle, source: Source, policy: Policy, start: Tokens, calls: int) -> Tensor:
    """The exact law of samples after `calls` network calls from the z [n, L] in `start` [V^L]."""
    method, size = oracle.method, source.vocab_size + oracle.method.needs.extra_tokens
    assert isinstance(policy, Stepping)
    states = torch.tensor(list(product(range(size), repeat=source.length)))
    law = torch.bincount(text_indices(start, size), minlength=len(states)).double() / len(start)
    grid = times(method, calls, policy.grid)
    for t, s in pairwise(grid):

        def step(z: Tensor, t: Tensor, prediction: LogProbs, s: Tensor = s) -> LogProbs:
            log_p = policy.law(method, z, t, s.expand_as(t), prediction)
            assert log_p is not None
            return log_p

        law = law @ _transition_matrix(oracle, states, t, step, size, policy.masks_again(method, t, s))
    return law @ _transition_matrix(oracle, states, grid[-1], method.last_guess, source.vocab_size, torch.zeros(()))


def _transition_matrix(
    oracle: Oracle, states: Tokens, t: Tensor, law: TransitionLaw, size: int, again: Tensor
) -> Tensor:
    """p(next | z) for all z in `states` [n, L] and all next [n, size^L]; positions move independently given z.

    Positions that are not scored stay, or turn into the mask with probability `again`.
    """
    t_states = t.expand(len(states))
    hidden, moves = oracle.hidden(states, t_states), F.one_hot(states.clamp(max=size - 1), size).double()
    if again > 0:
        moves = (1 - again) * moves + again * F.one_hot(torch.full_like(states, size - 1), size)
    for rows in oracle.chunks(states):
        prediction = oracle.predict(hidden, states, t_states, rows)
        with at_positions(oracle.method, rows[1], states.shape[1]):
            moves[rows] = law(states[rows], t_states[rows[0]], prediction).double().softmax(-1)
    moves = moves.nan_to_num(0.0)  # rows of impossible z
    joint = moves[:, 0]
    for i in range(1, states.shape[1]):
        joint = (joint[:, :, None] * moves[:, None, i]).flatten(1)
    return joint


def text_indices(ids: Tokens, size: int) -> Tensor:
    """The index of each text [n, L] among all texts in lexicographic order [n]."""
    return ids @ size ** torch.arange(ids.shape[1] - 1, -1, -1)


def fit_law(counts: Tensor, law: Tensor) -> GoodnessOfFit:
    """Chi-square of counts under a law; infinite if an impossible text was drawn. Rare texts are counted together."""
    expected = law * counts.sum()
    if counts[law == 0].any():
        return GoodnessOfFit(torch.inf, 1)

    is_rare = expected < FEWEST
    pooled = [torch.cat([values[~is_rare], values[is_rare].sum()[None]]).double() for values in (counts, expected)]
    observed, likely = (values[pooled[1] > 0] for values in pooled)
    return GoodnessOfFit(float(((observed - likely).square() / likely).sum()), len(likely) - 1)
