"""Probes of the noise: it falls on each position by itself, and `corrupt` and `prior` draw what `log_noise` says.

For ids, draws are counted and compared with exp(log_noise) by chi-square. `vector_noise` judges
vectors and their steps.
"""

import math
from collections.abc import Iterator

import torch
from scipy import stats
from torch import Tensor

from bench.certify.brief_training import train_briefly
from bench.certify.check import Case, Check
from bench.certify.false_alarms import POWER, RATE, combine, is_surprising
from bench.certify.state_draws import EXPECTED, LENGTH, chi_square, count_rows, draw_states, state_law
from bench.certify.vector_noise import check_known_steps, check_prior_of_vectors, check_vectors
from bench.certify.verb_values import KeyedRows, count_states, has_law, noise_texts
from bench.engine.model.method_with_network import times
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Stream
from methods.method import Method

VOCAB_SIZE, WIDE, LONG = 3, 300, 48
UNIFORMS = (1e-9, 0.04, 0.15, 0.3, 0.45, 0.6, 0.8, 0.95, 1 - 1e-12)  # of the times, the first and the last among them
DRAWS = 2**17  # for each time and token
WIDE_TOKENS, WIDE_UNIFORMS = (0, 127, 256, 299), (0.3, 0.8)
WIDE_DRAWS = 2**16
NO_SIGNAL = 1e-6  # a difference of probabilities, or nats, that is none


@torch.no_grad()
def probe_noise(case: Case) -> Iterator[Check]:
    """Check that noise is local, and that draws follow the law that the method tells."""
    fresh = case.build(VOCAB_SIZE).double().eval()
    if fresh.needs.causal:
        return
    yield _check_local(case)
    if has_law(fresh):
        method = train_briefly(case.build(VOCAB_SIZE).double())
        if method.needs.vector_width:
            yield check_vectors(method, case.seed)
            yield check_prior_of_vectors(method, case.seed)
            yield from check_known_steps(method, case.seed)
        else:
            yield _check_ids(method, case.seed)
            yield _check_wide(case.build(WIDE).double().eval(), case.seed)
            yield _check_prior(method, case.seed)


def _check_local(case: Case) -> Check:
    """How many positions change with the token of another, given the same random numbers."""
    changed = sum(_count_far_changes(case.build(size).double().eval()) for size in (VOCAB_SIZE, WIDE))
    meaning = f"with the same random numbers, another token changes z at its own position alone, in texts of {LONG}"
    return Check("probe: local noise", f"{changed} changes elsewhere", changed == 0, meaning)


def _count_far_changes(method: Method) -> int:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(method.vocab_size, (1, LONG), generator=generator).expand(LONG, LONG)
    here = torch.eye(LONG, dtype=torch.bool)
    key, changed = torch.zeros(LONG, dtype=torch.long), 0
    for u in (0.3, 0.7):
        t = times(method, torch.full((LONG,), u, dtype=torch.float64))
        before = noise_texts(method, x, t, KeyedRows(key))
        after = noise_texts(method, torch.where(here, (x + 1) % method.vocab_size, x), t, KeyedRows(key))
        moved = (before != after).flatten(2).any(-1) if before.dim() == 3 else before != after
        changed += int((moved & ~here).sum())
    return changed


def _check_ids(method: Method, seed: int) -> Check:
    """The draws of each time and token, of each position, and of pairs of positions."""
    draws = draw_states(method, torch.arange(VOCAB_SIZE), UNIFORMS, DRAWS, seed)
    figures = [chi_square(count.sum(0), p.mean(0)) for count, p in zip(draws.counts, draws.law, strict=True)]
    figures += [chi_square(count, p) for count, p in zip(draws.counts, draws.law, strict=True)]
    figures += [chi_square(count, p) for count, p in zip(draws.pairs, draws.law_of_pairs(), strict=True)]
    meaning = "corrupt draws each position by itself, by the law of log_noise"
    return _judge("probe: law of the noise", figures, DRAWS, meaning)


def _check_wide(method: Method, seed: int) -> Check:
    draws = draw_states(method, torch.tensor(WIDE_TOKENS), WIDE_UNIFORMS, WIDE_DRAWS, seed, pairs=())
    figures = [chi_square(count.sum(0), p.mean(0)) for count, p in zip(draws.counts, draws.law, strict=True)]
    meaning = f"corrupt follows log_noise with {method.vocab_size} tokens"
    return _judge("probe: law of the noise, wide", figures, WIDE_DRAWS, meaning)


def _judge(name: str, figures: list[float | None], draws: int, meaning: str) -> Check:
    """One p-value for several figures, by the smallest (Sidak); None are figures that leave nothing to chance."""
    p_values = [p_value for p_value in figures if p_value is not None]
    if not p_values:
        return Check(name, "no draw left to chance", True, meaning)
    p_value = combine(p_values)
    sees = f"a probability wrong by {_visible_shift(len(p_values), draws):.3f}"
    return Check(name, f"p = {p_value:.1g}", not is_surprising(p_value), meaning, sees, p_value)


def _visible_shift(figures: int, draws: int) -> float:
    """The smallest error of a probability near 1/2 that the draws of one time and token show."""
    return _distance(figures) * math.sqrt(0.25 / draws)


def _distance(figures: int) -> float:
    """The smallest visible bias of one of several figures, in standard errors."""
    return float(stats.norm.isf(RATE / figures / 2) + stats.norm.ppf(POWER))


def _check_prior(method: Method, seed: int) -> Check:
    """Draws of the prior against the law of z at t = 1, if that is the same for all tokens; else against prior_gap."""
    size, like = method.vocab_size, torch.zeros(DRAWS // LENGTH, LENGTH, dtype=torch.long)
    everything = torch.arange(size)[:, None].expand(-1, LENGTH)
    law = torch.stack([state_law(method, token, 1.0) for token in range(size)])  # [V, LENGTH, S]
    with in_sequences(method, like):
        counts = count_rows(method.prior(like, Stream(seed)).T, count_states(method))
    with in_sequences(method, everything):
        gaps = method.prior_gap(everything).double()  # [V, LENGTH]

    if float((law - law[0]).abs().max()) < NO_SIGNAL:
        figures = [chi_square(counts.sum(0), law[0].mean(0)), chi_square(counts, law[0])]
        figures += [0.0] if float(gaps.abs().max()) > NO_SIGNAL else []
        return _judge("probe: law of the prior", figures, DRAWS, "prior draws the law of z at t = 1, and costs nothing")

    groups = [[i] for i in range(LENGTH)] if method.needs.positions else [list(range(LENGTH))]
    figures = [
        _p_of_gap(float(gaps[token, group].mean()), law[token, group[0]], counts[group].sum(0))
        for token in range(size)
        for group in groups
    ]
    meaning = "prior_gap is the divergence of z at t = 1 from the draws of prior"
    return _judge("probe: law of the prior", figures, DRAWS, meaning)


def _p_of_gap(gap: float, law: Tensor, counts: Tensor) -> float:
    """The p-value of a prior gap, given draws of the prior: KL(law || frequencies) with its error (delta method)."""
    frequency, draws = counts.double() / counts.sum(), float(counts.sum())
    if (law[counts == 0] * draws > EXPECTED).any():
        return 0.0  # the prior never draws what the noise often does
    possible = (law > 0) & (counts > 0)
    divergence = float((law * (law / frequency).log())[possible].sum())
    variance = float((law**2 / frequency)[possible].sum()) - 1
    error = math.sqrt(max(variance, NO_SIGNAL) / draws)
    return float(2 * stats.norm.sf(abs(divergence - gap) / error))
