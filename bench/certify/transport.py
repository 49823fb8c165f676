"""Transport: one reverse step of a perfect network carries the law of z_t to the law of z_s, exactly, for one token.

For a text of one token, every probability is computable: q_t P = q_s for the matrix P of the method's reverse step,
long or short, and the last guess turns the law of z into that of the source. Rare tokens, down to a probability of
2^-22, show a sampler that drops them. Each entry is compared relative to what it has to be. Jump rates R must change
the law as noise did, backwards: q_t R = -dq_t / dt.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.bound_checks import move_parameters
from bench.certify.check import Case, Check
from bench.engine.model.positions import at_positions
from bench.engine.sample.policies import times
from methods.method import LogProbs, Method

Law = Tensor  # probabilities of tokens [V], or of states [S]

COMMON = torch.tensor([0.55, 0.30, 0.12, 0.03], dtype=torch.float64)
RARE = F.normalize(torch.tensor([2.0**0, 2.0**-8, 2.0**-15, 2.0**-22], dtype=torch.float64), p=1, dim=0)
STEPS = (
    (1.0, 0.75),
    (1.0, 0.02),
    (0.9, 0.3),
    (0.6, 0.595),
    (0.5, 0.1),
    (0.31, 0.3099),
    (0.05, 0.01),
    (0.004, 0.002),
)  # from t to s
MANY = F.normalize(torch.arange(1, 301, dtype=torch.float64) ** -2, p=1, dim=0)  # a law of many tokens, each rarer
CALLS = (2, 4, 16)  # numbers of network calls, whose last guesses differ in time
SMALLEST = 1e-15  # probabilities below are compared absolutely
JUMP_TIMES, INCREMENT = (0.137, 0.523, 0.881), 1e-5  # times of jump rates; half the width of a difference quotient
SLOWEST = 1e-3  # changes of a law per unit of time below are compared absolutely
TOLERANCE = {
    "common": 1e-5,
    "many": 1e-3,
    "rare": 5e-3,
}  # relative; where little signal is left, roundings of rare tokens grow


@dataclass(frozen=True)
class Transport:
    """The largest relative errors of the laws that a sampler reaches."""

    step: float | None  # of the law of z_s; None if the method draws its steps without a law
    worst: tuple[float, float]  # the step with the largest error, from t to s
    last_guess: float  # of the law of the token
    row_sum: float  # of the sums of rows of the last guess


def check_transport(case: Case) -> Iterator[Check]:
    """Check that steps and last guesses of a perfect network keep the law of a token, common or rare."""
    method = case.build(len(COMMON)).double()
    if method.needs.causal or method.needs.vector_width:
        return
    yield from _check_law(method, "common", COMMON)
    yield from _check_law(method, "rare", RARE)
    yield from _check_rates(method)
    yield from _check_law(case.build(len(MANY)).double(), "many", MANY)
    if any(parameter.requires_grad for parameter in method.parameters()):
        moved = move_parameters(case.build(len(COMMON)).double(), case.seed)
        yield from _check_law(moved, "common", COMMON, ", parameters moved")
        yield from _check_rates(moved, ", parameters moved")


def _check_law(method: Method, tokens: str, law: Law, condition: str = "") -> Iterator[Check]:
    measured, tolerance = measure_transport(method, law), TOLERANCE[tokens]
    sees = f"{tolerance:.0e} of a probability"
    if measured.step is not None:
        figure = "{:.1e} off, from t = {:.3g} to {:.3g}".format(measured.step, *measured.worst)
        meaning = "a reverse step, long or short, carries the law of z_t to that of z_s"
        yield Check(f"reverse step, {tokens} tokens{condition}", figure, measured.step <= tolerance, meaning, sees)
    passed = max(measured.last_guess, measured.row_sum) <= tolerance
    figure = f"{measured.last_guess:.1e} off; rows sum to 1 up to {measured.row_sum:.1e}"
    meaning = "the last guess turns the law of z into that of the source"
    if method.rarest_guess > float(law.min()):
        meaning += f"; the method declares that it does not for tokens rarer than {method.rarest_guess:.2g}"
    yield Check(f"last guess, {tokens} tokens{condition}", figure, passed, meaning, sees)


def _check_rates(method: Method, condition: str = "") -> Iterator[Check]:
    errors = {t: error for t in JUMP_TIMES if (error := rates_error(method, COMMON, t)) is not None}
    if not errors:
        return
    worst, tolerance = max(errors, key=lambda t: errors[t]), TOLERANCE["common"]
    figure = f"{errors[worst]:.1e} off, at t = {worst:.3g}"
    meaning = "jumps at `rates` change the law of z as fast as noise did, backwards"
    yield Check(f"jump rates{condition}", figure, errors[worst] <= tolerance, meaning, f"{tolerance:.0e} of a rate")


@torch.no_grad()
def measure_transport(method: Method, token_law: Law) -> Transport:
    """Measure how well single steps and the last guess of a perfect network keep the law of one token."""
    with at_positions(method, torch.zeros_like(all_states(method)), 1):
        errors = {step: step_error(method, token_law, *step) for step in snap(method)}
        calls = [count for count in CALLS if count <= _most_calls(method)] or [1]
        last = {float(times(method, count)[-1]) for count in calls}
        guesses = [last_guess_errors(method, token_law, t) for t in last]

    measured = {step: error for step, error in errors.items() if error is not None}
    worst = max(measured, key=lambda step: measured[step], default=(1.0, 0.0))
    return Transport(measured.get(worst), worst, max(law for law, _ in guesses), max(row_sum for _, row_sum in guesses))


def snap(method: Method) -> list[tuple[float, float]]:
    """The steps to check, in discrete time from grid point to grid point, the last one included."""
    steps = method.needs.steps
    if steps is None:
        return [(t, max(s, method.t_min)) for t, s in STEPS if t > method.t_min]
    grid = {(round(t * steps) / steps, round(s * steps) / steps) for t, s in STEPS}
    first = round(method.t_min * steps) / steps
    return sorted((t, s) for t, s in {*grid, (first + 1 / steps, first)} if t > s >= first)


def step_error(method: Method, token_law: Law, t: float, s: float) -> float | None:
    """The largest relative error of the law of z_s after one step from the law of z_t; None without a transition."""
    z = all_states(method)
    moves = method.transition(z, _fill(z, t), _fill(z, s), predict(method, token_law, t))
    if moves is None:
        return None
    probability = moves.double().softmax(-1).nan_to_num(0.0)  # rows of impossible z
    scored = method.scored(z)
    if scored is not None:
        probability[~scored] = F.one_hot(z, len(z)).double()[~scored]
    return relative_error(state_law(method, token_law, t) @ probability, state_law(method, token_law, s))


@torch.no_grad()
def rates_error(method: Method, token_law: Law, t: float) -> float | None:
    """The largest error of the change of the law of z by jumps at time t, relative to it; None without rates."""
    z = all_states(method)
    with at_positions(method, torch.zeros_like(z), 1):
        rates = method.rates(z, _fill(z, t), predict(method, token_law, t))
        if rates is None:
            return None
        law = state_law(method, token_law, t)
        later, earlier = (state_law(method, token_law, t + shift) for shift in (INCREMENT, -INCREMENT))

    rates = torch.where(law[:, None] > 0, rates.double(), 0.0)
    change, expected = law @ rates - law * rates.sum(-1), (earlier - later) / (2 * INCREMENT)
    return float((change - expected).abs().max() / expected.abs().max().clamp(min=SLOWEST))


def last_guess_errors(method: Method, token_law: Law, t: float) -> tuple[float, float]:
    """The largest relative error of the law of the last guess at time t, and of a row's sum from 1."""
    z, reached = all_states(method), state_law(method, token_law, t)
    guess = method.last_guess(z, _fill(z, t), predict(method, token_law, t)).double().exp()
    row_sums = guess[reached > 0].sum(-1)
    law, is_resolved = reached @ guess.nan_to_num(0.0), token_law >= method.rarest_guess
    return relative_error(law[is_resolved], token_law[is_resolved]), float((row_sums - 1).abs().max())


def state_law(method: Method, token_law: Law, t: float) -> Law:
    """The law of z at time t [S]."""
    z = all_states(method)
    return method.log_noise(z, _fill(z, t)).double().exp() @ token_law


def predict(method: Method, token_law: Law, t: float) -> LogProbs:
    """The prediction of a perfect network for every state z [S, V + extras]."""
    z = all_states(method)
    times_of_states, log_q = _fill(z, t), method.log_noise(z, _fill(z, t)).double().clamp(min=-300)
    posterior, others = (token_law.log() + log_q).log_softmax(-1), token_law.log().expand_as(log_q)
    return method.read(method.perfect(posterior, others, z, times_of_states), z, times_of_states)


def all_states(method: Method) -> Tensor:
    """All ids that z can hold [S]."""
    return torch.arange(method.vocab_size + method.needs.extra_tokens)


def relative_error(law: Law, expected: Law) -> float:
    """The largest relative error of the probabilities that are not 0; of those that are, the absolute one."""
    errors = (law - expected).abs() / expected.clamp(min=SMALLEST)
    return float(errors.max()) if len(errors) else 0.0


def _most_calls(method: Method) -> float:
    """The largest number of network calls; discrete time allows one for each step."""
    steps = method.needs.steps
    return float("inf") if steps is None else max(1, steps - round(method.t_min * steps))


def _fill(z: Tensor, t: float) -> Tensor:
    return torch.full(z.shape, t, dtype=torch.float64)
