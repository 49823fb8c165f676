"""The checks that a method must pass to be certified."""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Any

import torch

from bench.certify import kraft_sum as kraft
from bench.certify import leaks, rare_draws
from bench.certify import sampler_checks as sampler
from bench.certify.batch_probes import probe_batches
from bench.certify.check import Case, Check
from bench.certify.long_and_wide import probe_long_and_wide
from bench.certify.neighbour_identities import compare_bounds
from bench.certify.noise_probes import probe_noise
from bench.certify.oracle import Hidden, Source, Table, from_chain
from bench.certify.score_probes import probe_scores
from bench.certify.state_probes import probe_state
from bench.certify.tightness import Tightness, measure_tightness
from bench.engine.data.sources.markov import Markov
from methods import METHODS, OptionError, parameters
from methods.method import Method

log = logging.getLogger(__name__)

STRICT = 3.0  # standard errors
LENIENT = 4.0  # standard errors, if several are compared at once or the law is off by order 1 / calls
DOCUMENTS = 512
COARSE_STEPS = (8, 16)  # numbers of steps between which the gap of discrete time must halve
HALF = (0.3, 0.7)  # the range that counts as half
VANISHING = 0.2  # largest share of the distance at 16 calls that may be left at 256; order 1 / calls leaves 1/16

PAIRS = Table(  # all texts of two tokens, far from independent
    torch.tensor([0.30, 0.05, 0.02, 0.01, 0.25, 0.04, 0.20, 0.03, 0.10], dtype=torch.float64), 3, 2
)


def certify(case: Case, only: Sequence[str] | None = None) -> Iterator[Check]:
    """Run the checks of a method, by default all of `CHECKS`. Raises OptionError as `methods.build` does."""
    for name in CHECKS if only is None else only:
        try:
            yield from CHECKS[name](case)
        except OptionError:
            raise
        except Exception as error:  # any exception from the mathematics of a method is a fault of the method
            log.info("%s", traceback.format_exc())
            yield Check(name, f"{type(error).__name__}: {error}", False, "the check runs without an exception")


def _check_identities(case: Case) -> Iterator[Check]:
    for neighbour in METHODS[case.name].neighbours:
        difference = compare_bounds(case.name, neighbour)
        name = f"{case.name}{_format_options(neighbour.own)}"
        other_name = f"{neighbour.name}{_format_options(neighbour.theirs)}"
        meaning = f"given the same predictions, the bounds of {name} and {other_name} are equal"
        yield Check(f"identity with {neighbour.name}", f"{difference:.0e}", difference <= neighbour.within, meaning)


def _check_leaks(case: Case) -> Iterator[Check]:
    narrow, wide = leaks.find_leaks(case.build(leaks.VOCAB_SIZE)), leaks.find_long_leaks(case.build(leaks.WIDE))
    for leak in chain(narrow, wide):
        yield Check(f"probe: {leak.name}", f"{leak.change:.0e}", leak.change <= leaks.ROUNDING, leak.meaning)


def _check_oracle(case: Case) -> Iterator[Check]:
    is_discrete = case.build(2).needs.steps is not None
    for title, source in oracle_sources().items():
        tightness = measure_tightness(case.build(source.vocab_size), source, DOCUMENTS, case.dtype)
        yield _check_bound(f"bound of an oracle, {title}", tightness, is_discrete)
    if is_discrete and "steps" in parameters(METHODS[case.name]):
        yield _check_step_gap(case)
    if METHODS[case.name].widening:
        yield _check_widening(case)


def _check_sampling(case: Case) -> Iterator[Check]:
    method, source = case.build(PAIRS.vocab_size), sampler.CHAIN
    for policy in sampler.COMMON_POLICIES:
        supported = [calls for calls in sampler.CALLS if sampler.is_supported(method, policy, calls, PAIRS.length)]
        if supported:
            calls_to_sample = supported if sampler.is_enumerable(method, policy) else supported[-1:]
            yield from _check_table(sampler.sample_table(method, policy, PAIRS, calls_to_sample, dtype=case.dtype))
        if sampler.is_supported(method, policy, sampler.CHAIN_CALLS, source.length):
            chain_method = case.build(source.alphabet)
            samples = sampler.sample_chain(chain_method, policy, sampler.CHAIN_CALLS, dtype=case.dtype)
            yield _check_chain(samples, sampler.CHAIN_CALLS)

    for policy in sampler.OTHER_POLICIES:
        calls = sampler.choose_calls(method, policy, PAIRS.length)
        if calls is not None:
            yield from _check_table(sampler.sample_table(method, policy, PAIRS, [calls], dtype=case.dtype))
    yield _check_rare_draws(case.build(rare_draws.VOCAB_SIZE))


def _check_kraft(case: Case) -> Iterator[Check]:
    for spread in kraft.SPREADS:
        excess = kraft.kraft_excess(case.build(kraft.VOCAB_SIZE), spread, case.precision)
        meaning = "exp(-bound), summed over all texts, is at most 1"
        figure = f"{1 + excess.mean:.4f} ± {excess.error:.4f}"
        yield Check(f"Kraft sum, random weights of {spread}", figure, excess.z_score <= STRICT, meaning)


@cache
def oracle_sources() -> dict[str, Source]:
    """The sources whose laws are known exactly, by name."""
    generator = torch.Generator().manual_seed(0)

    def law(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(1.5).softmax(-1)

    return {
        "a table": Table(law(81), 3, 4),
        "a chain of order 1": from_chain(Markov(order=1, alphabet=6, length=12).draw_chain(), 12),
        "a chain of order 2": from_chain(Markov(order=2, alphabet=3, length=8).draw_chain(), 8),
        "a hidden chain": Hidden(law(4), law(4, 4), law(4, 5), 8),
    }


def _check_bound(name: str, tightness: Tightness, is_discrete: bool) -> Check:
    """In continuous time the bound must equal the entropy; in discrete time it must not be below it."""
    figure, is_bound = f"{tightness.gap} nats", tightness.gap.z_score >= -STRICT
    if is_discrete:
        return Check(name, figure, is_bound, "the bound is at least -log p(x)")

    meaning = "the bound equals -log p(x)"
    if abs(tightness.end_cost.mean) > 1e-4:
        figure = f"{figure}; {tightness.end_cost} at the ends"
        meaning = f"{meaning} plus the cost of the ends"
    return Check(name, figure, is_bound and abs(tightness.residual.z_score) <= STRICT, meaning)


def _check_step_gap(case: Case) -> Check:
    source = oracle_sources()["a table"]
    coarse, fine = (
        measure_tightness(case.build(source.vocab_size, steps=steps), source, 4 * DOCUMENTS).gap
        for steps in COARSE_STEPS
    )
    ratio = fine.mean / coarse.mean
    figure = f"{coarse} nats in {COARSE_STEPS[0]} steps, {fine} in {COARSE_STEPS[1]}"
    return Check("gap by steps", figure, HALF[0] < ratio < HALF[1], "doubling the steps halves the gap")


def _check_widening(case: Case) -> Check:
    """The cost of the ends, from narrow ends to the default ones."""
    source, widening = oracle_sources()["a table"], METHODS[case.name].widening
    measured = [measure_tightness(case.build(source.vocab_size, **ends), source, DOCUMENTS) for ends in widening]
    names = [", ".join(f"{name} {value}" for name, value in ends.items()) or "the default" for ends in widening]
    figure = "; ".join(f"{item.end_cost} nats at {name}" for item, name in zip(measured, names, strict=True))

    costs = [tightness.end_cost.mean for tightness in measured]
    is_vanishing = all(wider < narrower / 2 for narrower, wider in pairwise(costs))
    is_tight = all(abs(tightness.residual.z_score) <= STRICT for tightness in measured)
    meaning = "the bound equals -log p(x) plus the cost of the ends, which vanishes as they widen"
    return Check("ends", figure, is_vanishing and is_tight, meaning)


def _check_table(samples: sampler.TableSamples) -> Iterator[Check]:
    if sampler.CALLS[-1] in samples.distance and samples.policy.fidelity == "limit":
        yield _check_law(samples)
    yield _check_samples(samples)


def _check_law(samples: sampler.TableSamples) -> Check:
    few, many = sampler.CALLS[-2:]
    meaning = "the law of samples, computed step by step, converges to the source's (total variation)"
    passed = samples.distance[many] < VANISHING * samples.distance[few]
    return Check(f"{samples.policy.label()}: steps of an oracle", _format_distances(samples), passed, meaning)


def _format_distances(samples: sampler.TableSamples) -> str:
    return f"{', '.join(f'{distance:.4f} in {calls}' for calls, distance in samples.distance.items())} calls"


def _check_samples(samples: sampler.TableSamples) -> Check:
    scores = ", ".join(f"{score:+.1f} in {calls}" for calls, score in samples.z_scores.items())
    law = "the computed law" if samples.distance else "the source's law"
    meaning = f"samples follow {law} (chi-square as z-score; -log p(x))"
    if samples.distance and samples.policy.fidelity == "changed":
        meaning += f"; the policy changes the law on purpose, by {_format_distances(samples)}"
    passed = all(abs(score) <= LENIENT for score in [*samples.z_scores.values(), samples.nats.z_score])
    return Check(f"{samples.policy.label()}: texts, a table", f"{scores} calls; {samples.nats} nats", passed, meaning)


def _check_chain(samples: sampler.ChainSamples, calls: int) -> Check:
    meaning = "transitions in samples follow the chain's (chi-square as z-score; -log p(x))"
    passed = max(abs(samples.z_score), abs(samples.nats.z_score)) <= LENIENT
    figure = f"{samples.z_score:+.1f} in {calls} calls; {samples.nats} nats"
    return Check(f"{samples.policy.label()}: texts, a chain", figure, passed, meaning)


def _check_rare_draws(method: Method) -> Check:
    draws_own_steps = sampler.draws_own_steps(method)
    excess = rare_draws.count_step_draws(method) if draws_own_steps else rare_draws.count_harness_draws()
    figure = f"{excess.mean:+.1f} ± {excess.error:.1f} of {excess.error**2:.0f}"
    subject = "the method's own steps draw" if draws_own_steps else "the harness draws"
    meaning = f"{subject} tokens of probability 2^-25 at the right rate"
    return Check("draws of rare tokens", figure, abs(excess.z_score) <= STRICT, meaning)


def _format_options(options: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""


CHECKS: dict[str, Callable[[Case], Iterator[Check]]] = {  # in the order in which they run
    "identities": _check_identities,
    "probes": _check_leaks,
    "batches": probe_batches,
    "scores": probe_scores,
    "noise": probe_noise,
    "state": probe_state,
    "long": probe_long_and_wide,
    "oracle": _check_oracle,
    "samples": _check_sampling,
    "kraft": _check_kraft,
}
