"""Checks of the samples of a perfect network: do they follow the law of the sampler's steps, and the source's?"""

from collections.abc import Iterator, Sequence

from bench.certify import bound_checks, rare_draws
from bench.certify import sampler_checks as sampler
from bench.certify.check import Case, Check
from bench.certify.false_alarms import Estimate, combine, is_surprising, poisson_p
from bench.engine.sample.policies import Policy

NO_DISTANCE = {"float32": 1e-6, "bfloat16": 2e-3}  # between laws, up to roundings of the scores
LAW_BIAS = 0.003  # nats by which a finite number of calls may move the mean of -log p(x)
VANISHING = 0.2  # largest share of the distance at 16 calls that may be left at 256; order 1 / calls leaves 1/16


def check_samples(case: Case) -> Iterator[Check]:
    """Check every policy that the method supports, on a table and on a chain, and its draws of rare tokens."""
    method = case.build(bound_checks.PAIRS.vocab_size)
    for policy in sampler.COMMON_POLICIES:
        calls = sampler.table_calls(method, policy, bound_checks.PAIRS.length)
        if calls:
            yield from _check_table(case, policy, calls)
        if sampler.is_supported(method, policy, sampler.chain_calls(method), sampler.CHAIN.length):
            yield _check_chain(case, policy)

    for policy in sampler.OTHER_POLICIES:
        chosen = sampler.choose_calls(method, policy, bound_checks.PAIRS.length)
        if chosen is not None:
            yield from _check_table(case, policy, [chosen])
    yield _check_rare_draws(case)


def _check_table(case: Case, policy: Policy, calls: Sequence[int]) -> Iterator[Check]:
    method = case.build(bound_checks.PAIRS.vocab_size)
    samples = sampler.sample_table(method, policy, bound_checks.PAIRS, calls, case.seed, dtype=case.dtype)
    if sampler.CALLS[-1] in samples.distance and policy.fidelity == "limit":
        yield check_law(samples, NO_DISTANCE[case.precision])
    yield compare_texts(samples)


def check_law(samples: sampler.TableSamples, no_distance: float = 0.0) -> Check:
    """Check that the law of samples comes closer to the source's with more calls, or is there already."""
    few, many = sampler.CALLS[-2:]
    meaning = "the law of samples, computed step by step, converges to the source's (total variation)"
    passed = samples.distance[many] <= max(VANISHING * samples.distance[few], no_distance)
    return Check(f"{samples.policy.label()}: steps of an oracle", _format_distances(samples), passed, meaning)


def _format_distances(samples: sampler.TableSamples) -> str:
    return f"{', '.join(f'{distance:.4f} in {calls}' for calls, distance in samples.distance.items())} calls"


def compare_texts(samples: sampler.TableSamples) -> Check:
    """Compare the counts of all texts, and their mean -log p(x), with the law that they follow."""
    scores = ", ".join(f"{fit.z_score:+.1f} in {calls}" for calls, fit in samples.fits.items())
    law = "the computed law" if samples.distance else "the source's law"
    meaning = f"samples follow {law} (chi-square as z-score; -log p(x))"
    if samples.distance and samples.policy.fidelity == "changed":
        meaning += f"; the policy changes the law on purpose, by {_format_distances(samples)}"

    bias = 0.0 if samples.distance else LAW_BIAS
    p_value = combine([*(fit.p_value for fit in samples.fits.values()), samples.nats.p_value(bias)])
    figure, sees = f"{scores} calls; {samples.nats} nats", f"{samples.nats.smallest_visible:.2g} nats"
    name = f"{samples.policy.label()}: texts, a table"
    return Check(name, figure, not is_surprising(p_value), meaning, sees, p_value)


def _check_chain(case: Case, policy: Policy) -> Check:
    method = case.build(sampler.CHAIN.alphabet)
    calls = sampler.chain_calls(method)
    samples = sampler.sample_chain(method, policy, calls, case.seed, dtype=case.dtype)
    p_value = combine([samples.fit.p_value, samples.nats.p_value(LAW_BIAS)])
    figure = f"{samples.fit.z_score:+.1f} in {calls} calls; {samples.nats} nats"
    meaning = "transitions in samples follow the chain's (chi-square as z-score; -log p(x))"
    sees = f"{samples.nats.smallest_visible:.2g} nats"
    return Check(f"{policy.label()}: texts, a chain", figure, not is_surprising(p_value), meaning, sees, p_value)


def _check_rare_draws(case: Case) -> Check:
    method = case.build(rare_draws.VOCAB_SIZE)
    name = "draws of rare tokens"
    if not sampler.draws_own_steps(method):
        missed = rare_draws.count_missed()
        meaning = "the harness draws each token where the uniform number falls into its part of the law"
        figure = f"{rare_draws.RARE_TOKENS - missed} of {rare_draws.RARE_TOKENS} tokens of probability 2^-25"
        return Check(name, figure, missed == 0, meaning, "1 token")

    draws = rare_draws.count_step_draws(method, case.seed)
    p_value, error = poisson_p(draws.count, draws.expected), draws.expected**0.5
    figure, sees = f"{draws.count} of {draws.expected:.1f} ± {error:.1f}", f"{Estimate(0, error).smallest_visible:.0f}"
    meaning = "the method's own steps draw tokens of probability 2^-25 at the right rate"
    return Check(name, figure, not is_surprising(p_value), meaning, f"{sees} draws", p_value)
