"""Checks of the bound of a perfect network, text by text, without Monte Carlo where the noise can be enumerated."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch

from bench.certify.check import Case, Check
from bench.certify.enumeration import find_enumeration
from bench.certify.estimator_checks import mean_integral
from bench.certify.exact_bound import ExactBound, Part, sample_times
from bench.certify.false_alarms import Estimate, combine, is_surprising
from bench.certify.oracle import Oracle, Table
from bench.certify.tightness import measure_tightness
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import estimator_for
from methods import METHODS, parameters
from methods.method import Method

PAIRS = Table(  # all texts of two tokens, far from independent
    torch.tensor([0.30, 0.05, 0.02, 0.01, 0.25, 0.04, 0.20, 0.03, 0.10], dtype=torch.float64), 3, 2
)
SINGLES = Table(torch.tensor([0.55, 0.30, 0.12, 0.03], dtype=torch.float64), 4, 1)
COIN = Table(torch.tensor([0.84, 0.16], dtype=torch.float64), 2, 1)  # for vectors, whose noise tells two tokens apart

TOLERANCE = 1e-5  # nats; float64 reaches 1e-9, and a method may compute likelihoods in float32
PRECISION = {"float32": 1e-5, "bfloat16": 0.05}  # relative error of the bound from rounded scores
MOVE = 0.5  # standard deviation by which a method's own parameters are moved
DOCUMENTS = 2048  # whose gap is drawn where it cannot be enumerated
COARSE_STEPS = (8, 16)  # numbers of steps between which the gap of discrete time must halve
HALF = (0.3, 0.7)  # the range that counts as half
LARGE_GAP = 0.02  # of the entropy, at which the target of a perfect network is in doubt


def check_bound(case: Case) -> Iterator[Check]:
    """Check the bound of every text of short sources, also with the method's own parameters moved."""
    if case.build(2).exact:
        yield from _check_likelihood(case)
        return
    sources = enumerable_sources(case)
    if not sources:
        yield Check("bound of every text", "the noise cannot be enumerated; see the oracles below", True, "not made")
    for source in sources:
        yield from _check_texts(case, source, _count(source))
        yield _check_rounded(case, source)
    if sources and any(parameter.requires_grad for parameter in case.build(2).parameters()):
        method = move_parameters(case.build(sources[0].vocab_size).double(), case.seed)
        yield from _check_terms(ExactBound(method, sources[0], is_counted=is_counted(case)), "parameters moved")


def check_estimator(case: Case) -> Iterator[Check]:
    """Check that the estimator, averaged over all that it can draw, gives the diffusion loss."""
    sources = [] if case.build(2).exact else enumerable_sources(case)
    for source in sources[-1:]:
        estimator = estimator_for(case.build(source.vocab_size).double(), case.estimator)
        expected = ExactBound(estimator.method, source, is_counted=is_counted(case)).integral
        error = float((mean_integral(estimator, source) - expected).abs().max())
        meaning = f"the mean of the estimator ({estimator.kind()}) over all draws is the integral of the bound"
        figure = f"{error:.1e} nats at most"
        yield Check(f"estimator {estimator.name}", figure, error <= TOLERANCE, meaning, f"{TOLERANCE:.0e} nats")


def check_steps(case: Case) -> Iterator[Check]:
    """Check that the gap of discrete time halves as the number of steps doubles."""
    if case.build(2).needs.steps is None:
        return
    refinement = find_refinement(case)
    meaning = "both bounds are at least -log p(x), and doubling the steps halves the gap"
    if refinement is None:
        yield Check("gap by steps", "not made: no option sets the number of steps", True, meaning)
        return

    coarse, fine = (_measure_gap(case, options) for options in refinement)
    ratio = fine.mean / coarse.mean if coarse.mean > TOLERANCE else torch.nan
    error = math.hypot(fine.error, ratio * coarse.error) / abs(coarse.mean) if coarse.error else 0.0
    estimate = Estimate(ratio, error)
    p_values = [gap.p_below(TOLERANCE) for gap in (coarse, fine)]
    p_values += [Estimate(ratio - HALF[0], error).p_below(), Estimate(ratio - HALF[1], error).p_above()]
    passed = not math.isnan(ratio) and not any(map(is_surprising, p_values))

    is_drawn, names = error > 0, [_format(options) for options in refinement]
    if is_drawn:
        figure = f"{coarse} nats with {names[0]}, {fine} with {names[1]}: {ratio:.3f} ± {error:.3f}"
    else:
        figure = f"{coarse.mean:+.5f} nats with {names[0]}, {fine.mean:+.5f} with {names[1]}: {ratio:.3f}"
    sees = f"{estimate.smallest_visible:.2g} of the ratio" if is_drawn else f"{TOLERANCE:.0e} nats"
    yield Check("gap by steps", figure, passed, meaning, sees, combine(p_values) if is_drawn else None)


def _measure_gap(case: Case, options: Mapping[str, Any]) -> Estimate:
    """The bound of an oracle minus the entropy: exact where the noise can be enumerated, else from draws."""
    sources = enumerable_sources(case)
    if sources:
        exact = ExactBound(case.build(sources[-1].vocab_size, **options).double(), sources[-1])
        return Estimate(exact.mean(exact.total) - sources[-1].entropy, 0.0)
    method = case.build(PAIRS.vocab_size, **options)
    return measure_tightness(method, PAIRS, DOCUMENTS, seed=case.seed, estimator=case.estimator).gap


def check_widening(case: Case) -> Iterator[Check]:
    """Check that the cost of the ends vanishes as they widen, from narrow ends to the default ones."""
    widening, sources = METHODS[case.name].widening, enumerable_sources(case)
    if not widening or not sources:
        return
    bounds = [ExactBound(case.build(sources[0].vocab_size, **ends).double(), sources[0]) for ends in widening]
    costs = [exact.mean(exact.prior_end + exact.clean_end) for exact in bounds]

    names = [_format(ends) or "the default" for ends in widening]
    figure = "; ".join(f"{cost:+.6f} nats with {name}" for cost, name in zip(costs, names, strict=True))
    passed = all(wide < narrow / 2 for narrow, wide in pairwise(costs)) and min(costs) >= -TOLERANCE
    yield Check("ends, widened", figure, passed, "the cost of the ends vanishes as they widen", f"{TOLERANCE:.0e} nats")


def enumerable_sources(case: Case) -> list[Table]:
    """The sources on which the noise of the method can be enumerated, the longest texts last."""
    candidates = [COIN] if case.build(2).needs.vector_width else [SINGLES, PAIRS]
    return [source for source in candidates if find_enumeration(case.build(source.vocab_size), source.length)]


def is_counted(case: Case) -> bool:
    """Whether the bound is estimated from exact mask counts."""
    return estimator_for(case.build(2), case.estimator).name == "counted"


def move_parameters(method: Method, seed: int) -> Method:
    """Move a method's own parameters away from where they start, and return it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(MOVE * torch.randn(parameter.shape, generator=generator).to(parameter))
    return method


def find_refinement(case: Case) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Options of coarse and of fine discrete time: what the method names, or the option that sets its steps."""
    factory = METHODS[case.name]
    if factory.refinement is not None:
        return factory.refinement
    coarse, fine = COARSE_STEPS
    for name in parameters(factory):
        try:
            is_steps = case.build(2, **{name: coarse}).needs.steps == coarse
        except ValueError:  # an option of another type, or one that refuses so few
            continue
        if is_steps:
            return {name: coarse}, {name: fine}
    return None


def _check_texts(case: Case, source: Table, title: str) -> Iterator[Check]:
    method = case.build(source.vocab_size).double()
    exact = ExactBound(method, source, is_counted=is_counted(case))
    yield from _check_terms(exact, title)
    yield _check_end("end at t = 1", exact.mean(exact.prior_end), title, "the prior loss is at least what z tells then")
    if exact.has_last_guess:
        meaning = "the last guess costs at least what z does not tell of the text"
        yield _check_end("end at t_min", exact.mean(exact.clean_end), title, meaning)
    yield _check_kraft(f"Kraft sum of an oracle, {title}", exact.kraft_sum() - 1)


def _check_terms(exact: ExactBound, title: str) -> Iterator[Check]:
    """The diffusion loss of every part of time against the information that is lost in it."""
    worst = max(exact.parts, key=lambda part: _fault(exact, part))
    fault, sees = _fault(exact, worst), f"{TOLERANCE:.0e} nats"
    where = f"from t = {worst.start:.3g} to {worst.end:.3g}"
    if exact.is_tight:
        figure = f"{fault:.1e} nats off, {where}{_hint(exact)}"
        meaning = "between any two times, the diffusion loss of every text is what z loses of it"
    else:
        figure = f"{-fault:+.1e} nats at least, {where}{_hint(exact)}"
        meaning = "in every step, the diffusion loss is on average at least what z loses of the text"
    yield Check(f"bound of every text, {title}", figure, fault <= TOLERANCE, meaning, sees)


def _fault(exact: ExactBound, part: Part) -> float:
    """How far the loss of a part is from what it has to be, or below it if it is allowed to be above."""
    return float(part.excess.abs().max()) if exact.is_tight else -exact.mean(part.excess)


def _hint(exact: ExactBound) -> str:
    excess = sum(exact.mean(part.excess) for part in exact.parts)
    is_large = exact.method.needs.steps is not None and excess > LARGE_GAP * exact.source.entropy
    return f"; {excess:+.2f} nats in all: is `target` right?" if is_large else ""


def _check_end(name: str, excess: float, title: str, meaning: str) -> Check:
    return Check(f"{name}, {title}", f"{excess:+.1e} nats", excess >= -TOLERANCE, meaning, f"{TOLERANCE:.0e} nats")


def _check_kraft(name: str, excess: float) -> Check:
    figure, meaning = (
        f"1 {'+' if excess > 0 else '-'} {abs(excess):.1e}",
        "exp(-bound), summed over all texts, is at most 1",
    )
    return Check(name, figure, excess <= TOLERANCE, meaning, f"{TOLERANCE:.0e}")


def _check_rounded(case: Case, source: Table) -> Check:
    """What scores in the precision of a network cost, against exact ones at the same times: never less."""
    method = case.build(source.vocab_size).double()
    times, shares = sample_times(method)
    exact, rounded = (
        ExactBound(method, source, Oracle(method, source, dtype)).costs(times) for dtype in (torch.float64, case.dtype)
    )
    excess, rate = source.law @ (rounded - exact), source.law @ exact
    lowest, total = float((excess / (1 + rate.abs())).min()), float(excess @ shares)

    limit = PRECISION[case.precision] * source.entropy
    figure = f"{total:+.1e} nats in all; at any time, relatively, {lowest:+.1e} at least"
    meaning = f"rounded scores cost no less than exact ones, and at most {limit:.0e} nats more"
    passed = lowest >= -PRECISION["float32"] and total <= limit
    return Check(f"{case.precision} scores, {_count(source)}", figure, passed, meaning)


def _check_likelihood(case: Case) -> Iterator[Check]:
    """An exact likelihood is -log p(x) for every text, and its probabilities sum to one."""
    for source in (SINGLES, PAIRS):
        method = case.build(source.vocab_size)
        terms = bound(Oracle(method, source, case.dtype), source.texts, 2, 1, case.seed, len(source.texts))
        nats = torch.stack([parts.mean(1) for parts in terms.values()]).sum(0)
        error, limit = float((nats + source.law.log()).abs().max()), max(TOLERANCE, 10 * PRECISION[case.precision])
        title = _count(source)
        meaning = "the likelihood of every text is that of the source"
        yield Check(f"likelihood of every text, {title}", f"{error:.1e} nats off", error <= limit, meaning)
        excess = float((-nats).exp().sum()) - 1
        figure = f"1 {'+' if excess > 0 else '-'} {abs(excess):.1e}"
        meaning = "the probabilities of all texts sum to one"
        yield Check(f"Kraft sum, {title}", figure, abs(excess) <= limit, meaning, f"{limit:.0e}")


def _count(source: Table) -> str:
    return f"{source.length} token{'s' * (source.length > 1)}"


def _format(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())
