"""The checks that a method must pass to be certified."""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

import torch

from bench.certify import leaks
from bench.certify.batch_probes import probe_batches
from bench.certify.bound_checks import check_bound, check_estimator, check_steps, check_widening
from bench.certify.check import Case, Check
from bench.certify.contract import check_contract
from bench.certify.false_alarms import combine, is_surprising
from bench.certify.harness_state import check_harness
from bench.certify.long_and_wide import probe_long_and_wide
from bench.certify.neighbour_identities import compare_bounds
from bench.certify.noise_probes import probe_noise
from bench.certify.oracle import Hidden, Source, from_chain
from bench.certify.sample_checks import check_samples
from bench.certify.score_probes import probe_scores
from bench.certify.state_probes import probe_state
from bench.certify.tightness import ROUNDING, Tightness, measure_tightness, tolerance
from bench.certify.trained_network import check_trained_network
from bench.certify.transport import check_transport
from bench.engine.data.sources.markov import Markov
from methods import METHODS, OptionError
from methods.plugins import find_plugin_line

log = logging.getLogger(__name__)

DOCUMENTS = 512


def certify(case: Case, only: Sequence[str] | None = None) -> Iterator[Check]:
    """Run the checks of a method, by default all of `CHECKS`. Raises OptionError as `methods.build` does."""
    names = tuple(CHECKS if only is None else only)
    for name in names:
        yield from (replace(check, group=name) for check in _run(name, case))
    if "harness" not in names:
        yield from (replace(check, group="harness") for check in check_harness(case) if not check.passed)


def _run(name: str, case: Case) -> Iterator[Check]:
    """The outcomes of one entry of `CHECKS`; an exception is one of them."""
    try:
        yield from CHECKS[name](case)
    except OptionError:
        raise
    except Exception as error:  # any exception from the mathematics of a method is a fault of the method
        log.info("%s", traceback.format_exc())
        line = find_plugin_line(error)
        figure = f"{type(error).__name__}: {error}{f' ({line})' if line else ''}"
        yield Check(name, figure, False, "the check runs without an exception")


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
    """The bound as the harness evaluates it, document by document, against the likelihood of the source."""
    for title, source in oracle_sources().items():
        method = case.build(source.vocab_size)
        tightness = measure_tightness(method, source, DOCUMENTS, case.dtype, case.seed, case.estimator)
        is_tight = method.needs.steps is None and case.precision == "float32"
        allowed = tolerance(method, case.estimator, tightness.entropy)
        yield _check_tightness(f"bound of an oracle, {title}", tightness, is_tight, allowed)


@cache
def oracle_sources() -> dict[str, Source]:
    """The sources whose laws are known exactly, by name."""
    generator = torch.Generator().manual_seed(0)

    def law(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(1.5).softmax(-1)

    return {
        "a chain": from_chain(Markov(order=2, alphabet=3, length=8).draw_chain(), 8),
        "a hidden chain": Hidden(law(4), law(4, 4), law(4, 5), 8),
    }


def _check_tightness(name: str, tightness: Tightness, is_tight: bool, allowed: float) -> Check:
    figure, meaning = f"{tightness.gap} nats", "the bound is at least -log p(x)"
    p_value = tightness.gap.p_below(allowed)
    if is_tight:
        meaning = "the bound equals -log p(x)"
        if abs(tightness.end_cost.mean) > ROUNDING:
            figure = f"{figure}; {tightness.end_cost} at the ends"
            meaning = f"{meaning} plus the cost of the ends"
        p_value = combine([p_value, tightness.residual.p_value(allowed)])
    sees = f"{allowed + tightness.gap.smallest_visible:.2g} of {tightness.entropy:.1f} nats"
    return Check(name, figure, not is_surprising(p_value), meaning, sees, p_value)


def _format_options(options: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""


CHECKS: dict[str, Callable[[Case], Iterator[Check]]] = {  # in the order in which they run
    "contract": check_contract,
    "identities": _check_identities,
    "probes": _check_leaks,
    "batches": probe_batches,
    "scores": probe_scores,
    "noise": probe_noise,
    "state": probe_state,
    "long": probe_long_and_wide,
    "bound": check_bound,
    "estimator": check_estimator,
    "steps": check_steps,
    "ends": check_widening,
    "transport": check_transport,
    "oracle": _check_oracle,
    "samples": check_samples,
    "training": check_trained_network,
    "harness": check_harness,
}
