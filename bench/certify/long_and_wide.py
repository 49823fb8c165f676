"""The bound of an oracle on long texts and on large vocabularies.

For independent tokens nothing has to be drawn if z holds ids. What is left to pay at time t is the expectation of
-log p(x_i | z_i), and what a method charges between two times is the difference: in discrete time for each step, in
continuous time for the integral of the expected bound. A few intervals, the first and the last among them, tell for
each position and token what the whole bound would. Vectors are drawn, and so are long texts of a chain.
"""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from bench.certify.check import Case, Check
from bench.certify.expected_costs import Independent, expected_costs, integrate, refine, remaining_nats
from bench.certify.false_alarms import Estimate, is_surprising
from bench.certify.oracle import Oracle, Source, from_chain
from bench.certify.tightness import measure_tightness, tolerance
from bench.engine.data.sources.markov import Markov
from methods.method import Method, Tokens

LENGTH, ALPHABET = 48, 6  # of long texts
WIDE, RARE = 300, 2.0**-40  # tokens of a large vocabulary, and the probability of the rarest
MIDDLE, MIDDLE_LENGTH = 64, 63  # tokens of a vocabulary of a power of two, and an odd length
VAST = 1_030  # more tokens than a thousand
WIDE_TOKENS = (0, 128, 256, 299)
VAST_TOKENS = (1_029,)
STARTS, WIDTH = (0.31, 0.68, 0.03, 0.09, 0.17, 0.45, 0.57, 0.79, 0.88, 0.943), 0.002  # of intervals of time
LAST = 0.97  # start of the last interval
DOCUMENTS, WIDE_DOCUMENTS, WIDE_LENGTH = 64, 64, 12  # where noise is drawn
EXACTNESS = 1e-6  # relative to what an interval costs; a quadrature over a short interval is as exact as float64
LEAST_COST = 1e-3  # nats per unit of time that count, so that roundings of costs that vanish do not

Interval = tuple[float, float]  # of time


@torch.no_grad()
def probe_long_and_wide(case: Case) -> Iterator[Check]:
    """Check the bound of an oracle on texts of 48 tokens, and on vocabularies of 64, 300 and 1,030."""
    chain = from_chain(Markov(order=1, alphabet=ALPHABET, length=LENGTH).draw_chain(), LENGTH)
    method, wide, vast = (case.build(size).double().eval() for size in (ALPHABET, WIDE, VAST))
    if method.needs.vector_width:
        yield _check_draws(case, "wide", Independent(uneven_law(WIDE), WIDE_LENGTH), WIDE_DOCUMENTS)
    else:
        yield _check_exact("long", method, torch.arange(LENGTH) % ALPHABET, _intervals(method))
        middle = case.build(MIDDLE).double().eval()
        yield _check_exact("middle", middle, torch.arange(MIDDLE - MIDDLE_LENGTH, MIDDLE), _intervals(middle)[:2][-1:])
        yield _check_exact("wide", wide, torch.tensor(WIDE_TOKENS), _intervals(wide)[:3])
        yield _check_exact("vast", vast, torch.tensor(VAST_TOKENS), _intervals(vast)[:2][-1:])
    if not method.exact:
        yield _check_draws(case, "long", chain, DOCUMENTS)


@cache
def uneven_law(size: int) -> Tensor:
    """A law of many tokens, whose logarithm falls evenly to that of the rarest [V]; they stand in a random order."""
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    log_p = torch.linspace(0, 1, size, dtype=torch.float64)[order] * torch.tensor(RARE, dtype=torch.float64).log()
    return log_p.softmax(-1)


def _intervals(method: Method) -> list[Interval]:
    """Intervals of time that are judged: single steps in discrete time."""
    steps = method.needs.steps
    if steps is None:
        first = max(method.t_min, 1e-3)
        return [(first, 1.02 * first), *((start, start + WIDTH) for start in STARTS), (LAST, 1.0)]
    start = round(method.t_min * steps)
    middle = (start + 1 + int(share * (steps - start - 1)) for share in STARTS)
    grid = sorted({start + 1, min(start + 2, steps), *middle, steps})
    return [((step - 1) / steps, step / steps) for step in grid]


def _check_exact(title: str, method: Method, x: Tokens, intervals: list[Interval]) -> Check:
    """The largest error of an interval, at any position, relative to its cost."""
    law = uneven_law(method.vocab_size)
    model = Oracle(method, Independent(law, len(x)))
    if method.exact:
        errors = [_largest_error(expected_costs(model, method.bound, x, 1.0), -law.log()[x], 0.0)]
    else:
        errors = [_interval_error(model, law, x, low, high) for low, high in intervals]
    error, position = max(errors)
    when = "" if method.exact else "in each interval of time, "
    meaning = f"{when}{len(x)} tokens of a vocabulary of {method.vocab_size} cost what they tell, at every position"
    name = f"bound of independent tokens, {title}"
    return Check(name, f"{error:.0e} (position {position})", error <= EXACTNESS, meaning)


def _interval_error(model: Oracle, law: Tensor, x: Tokens, low: float, high: float) -> tuple[float, int]:
    """The error of what an interval costs, or a step in discrete time."""
    method, steps = model.method, model.method.needs.steps
    due = remaining_nats(method, law, x, high)
    if steps is None or low > 0:  # nothing is left to pay at t = 0 of discrete time
        due = due - remaining_nats(method, law, x, low)
    floor = LEAST_COST * (high - low)
    if steps is not None:
        return _largest_error(expected_costs(model, method.bound, x, high) / steps, due, floor)
    cost = integrate(model, x, low, high)
    error = _largest_error(cost, due, floor)
    if error[0] > EXACTNESS:  # a schedule may have a bend in the interval
        error = _largest_error(refine(model, x, low, high, cost, EXACTNESS / 10 * (due.abs() + floor)), due, floor)
    return error


def _largest_error(cost: Tensor, due: Tensor, floor: float) -> tuple[float, int]:
    """The largest relative error and its position."""
    errors = ((cost - due).abs() / (due.abs() + floor)).nan_to_num(float("inf"))
    return float(errors.max()), int(errors.argmax())


def _check_draws(case: Case, title: str, source: Source, documents: int) -> Check:
    """The bound of some texts, estimated as the harness does."""
    method = case.build(source.vocab_size)
    tightness = measure_tightness(method, source, documents, case.dtype, case.seed, case.estimator)
    is_discrete = method.needs.steps is not None
    figure = tightness.gap if is_discrete else tightness.residual
    estimate = Estimate(figure.mean, figure.error, documents - 1)
    allowed = tolerance(method, case.estimator, tightness.entropy)
    p_value = estimate.p_below(allowed) if is_discrete else estimate.p_value(allowed)

    claim = "is at least -log p(x)" if is_discrete else "equals -log p(x) plus the cost of the ends"
    meaning = f"the bound {claim} for texts of {source.length} of {source.vocab_size} tokens"
    visible = allowed + estimate.smallest_visible
    share = 100 * visible / tightness.entropy
    sees = f"{visible:.2f} nats of {tightness.entropy:.0f} ({share:.1f} %)"
    return Check(f"bound of an oracle, {title}", f"{estimate} nats", not is_surprising(p_value), meaning, sees, p_value)
