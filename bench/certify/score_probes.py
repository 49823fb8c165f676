"""Probes of the scores: what no network can be paid for, whatever it predicts.

Probabilities sum to 1, a constant added to all scores is worth nothing, a network that is sure of a wrong token pays
for it, and the precision of the scores changes nothing but roundings.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from bench.certify.check import Case, Check
from bench.certify.expected_costs import Independent, Shifted, Sure, expected_costs, integrate
from bench.certify.random_network import VOCAB_SIZE
from bench.certify.verb_values import (
    LENGTH,
    ROUNDING,
    Rows,
    Values,
    count_states,
    difference,
    draw_rows,
    evaluate,
    has_law,
)
from bench.engine.model.method_with_network import times
from bench.engine.model.positions import at_positions, in_sequences
from methods.method import Method, pick

ROWS, WIDE, WIDE_ROWS = 512, 300, 64
SHIFTS = (1.0, -2.5)  # nats added to all scores
PAID_SHIFTS = (-0.5, -0.05, 0.05, 0.5, -1e-2, 1e-2)  # nats around the scores of an oracle, where the bound is smallest
SURE = (300.0, 600.0)  # nats of a network that is sure of a wrong token; exp(-745) is 0 in float64
SURE_OF_VECTORS = (1e4, 2e4)  # the same where vectors can say more on their token than hundreds of nats
SHARE = 0.4  # of those nats that each token must cost at least; the prior may know up to half of the tokens
STRATA = 16  # of the steps in discrete time
JITTER, SENSITIVITY = 1e-5, 1e-3  # a relative change of scores, and the largest one of the bound that may follow


@torch.no_grad()
def probe_scores(case: Case) -> Iterator[Check]:
    """Check sums of probabilities, added constants, sure and wrong networks, and the precision of scores."""
    method, wide = case.build(VOCAB_SIZE).double().eval(), case.build(WIDE).double().eval()
    yield _check_sums(method, wide)
    yield _check_constant(method) if method.normalises else _check_paid_constant(method)
    yield _check_sure(method)
    yield _check_precision(method)


def _check_sums(method: Method, wide: Method) -> Check:
    """The worst of all sums, in nats or as a probability."""
    errors = _measure_sums(method, ROWS)
    for name, error in _measure_sums(wide, WIDE_ROWS).items():
        errors[name] = max(errors[name], error)
    name = max(errors, key=lambda name: errors[name])
    subject = "probabilities of last_guess, transition, log_noise" + (" and read" if method.normalises else "")
    meaning = f"{subject} sum to 1, and rates are not negative, for any scores"
    return Check("probe: sums of probabilities", f"{errors[name]:.0e} ({name})", errors[name] <= ROUNDING, meaning)


def _measure_sums(method: Method, count: int) -> dict[str, float]:
    """How far the sums of rows of random scores are from 1, by verb."""
    rows = _scored_rows(method, count)
    values = evaluate(method, rows)
    errors = {"last_guess": _sum_error(values["last_guess"])}
    if "transition" in values:
        total = values["transition"].double().logsumexp(-1)
        errors["transition"] = float((total.abs() if method.normalises else total.clamp(max=0).abs()).max())
    if "rates" in values:
        diagonal = pick(values["rates"].double(), rows.z).abs().max()
        errors["rates"] = float(torch.maximum(diagonal, -values["rates"].double().min()))
    if method.normalises:
        prediction = values["read"]
        errors["read"] = _sum_error(prediction[..., : method.vocab_size] if method.needs.vector_width else prediction)
    if has_law(method) and not method.needs.vector_width:
        errors["log_noise"] = _noise_error(method, rows)
    return errors


def _sum_error(log_p: Tensor) -> float:
    return float(log_p.double().logsumexp(-1).abs().nan_to_num(float("inf")).max())


def _noise_error(method: Method, rows: Rows) -> float:
    """How far q(z | v), summed over all states z, is from 1, at the times and positions of the first rows."""
    t, position = rows.t[:8, None], rows.position[:8, None]
    states = torch.arange(count_states(method)).expand(len(t), -1)
    with at_positions(method, position.expand_as(states), LENGTH):
        log_q = method.log_noise(states, t.expand_as(states))
    return float((log_q.double().exp().sum(1) - 1).abs().nan_to_num(float("inf")).max())


def _scored_rows(method: Method, count: int, spread: float = 2.0) -> Rows:
    """Random rows at scored positions."""
    rows = draw_rows(method, count, spread=spread)
    with at_positions(method, rows.position, LENGTH):
        scored = method.scored(rows.z)
    return rows if scored is None else rows.take(scored.nonzero()[:, 0])


def _check_constant(method: Method) -> Check:
    """Scores as a network gives them, and log-probabilities, some of them nearly sure."""
    random = _scored_rows(method, ROWS)
    sure = _scored_rows(method, ROWS, spread=6.0)
    normalised = replace(sure, scores=_normalise(method, sure.scores))
    changes = []
    for rows in (random, normalised):
        before = _predictions(method, rows)
        for shift in SHIFTS:
            after = _predictions(method, replace(rows, scores=_shift(method, rows.scores, shift)))
            changes += [(difference(after[name], before[name]), name) for name in before]
    change, name = max(changes)
    hint = "declare `normalises = False` if `read` leaves them unnormalised and the bound charges for their sum"
    meaning = f"a constant added to all scores changes nothing ({hint})"
    return Check("probe: added constant", f"{change:.0e} ({name})", change <= ROUNDING, meaning)


def _predictions(method: Method, rows: Rows) -> Values:
    values = evaluate(method, rows)
    return {name: values[name] for name in ("read", "bound", "last_guess")}


def _law_width(method: Method) -> int:
    """The number of scores that form a law: tokens, and extra ids unless the extra scores are coordinates."""
    return method.vocab_size + (0 if method.needs.vector_width else method.needs.extra_scores)


def _shift(method: Method, scores: Tensor, nats: float) -> Tensor:
    width = _law_width(method)
    return torch.cat([scores[..., :width] + nats, scores[..., width:]], -1)


def _normalise(method: Method, scores: Tensor) -> Tensor:
    width = _law_width(method)
    return torch.cat([scores[..., :width].log_softmax(-1), scores[..., width:]], -1)


def _check_paid_constant(method: Method) -> Check:
    """The expected bound of an oracle is smallest where nothing is added to its scores."""
    law = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    x, model = torch.arange(VOCAB_SIZE), Shifted(method, Independent(law, VOCAB_SIZE))
    gains = []
    for time in times(method, torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)).tolist():
        costs = {}
        for shift in (0.0, *PAID_SHIFTS):
            model.shift = shift
            costs[shift] = float(expected_costs(model, method.bound, x, time) @ law)
        gains += [(costs[0.0] - costs[shift]) / (1 + abs(costs[0.0])) for shift in PAID_SHIFTS]
    meaning = "a constant added to all scores of an oracle raises the bound, which charges for their sum"
    return Check("probe: added constant", f"{-max(gains):+.0e} at least", max(gains) < 0, meaning)


def _check_sure(method: Method) -> Check:
    """How many nats each token costs for every nat that the network is surer of a wrong one."""
    less, more = SURE_OF_VECTORS if method.needs.vector_width else SURE
    slope = (_cost_of_sure(method, more) - _cost_of_sure(method, less)) / (more - less)
    meaning = f"a network that is surer of a wrong token by {more - less:.0f} nats pays for them"
    return Check("probe: sure and wrong", f"{slope:.3g} of them per token", slope >= SHARE, meaning)


def _cost_of_sure(method: Method, nats: float) -> float:
    """The bound of a token whose network is sure of another, nats per token."""
    x = torch.zeros(4, dtype=torch.long)
    law = torch.full((VOCAB_SIZE,), 1 / VOCAB_SIZE, dtype=torch.float64)
    model = Sure(method, Independent(law, len(x)))
    model.token, model.nats = 1, nats
    with in_sequences(method, x[None]):
        prior_gap = method.prior_gap(x[None])[0]
    cost = prior_gap + _integrate_all(model, x)
    if method.guesses_last or (method.masking is not None and method.t_min > 0):
        cost = cost + expected_costs(
            model, lambda x, z, t, p: -pick(method.last_guess(z, t, p), x).double(), x, method.t_min
        )
    return float(cost.mean())


def _integrate_all(model: Sure, x: Tensor) -> Tensor:
    """The diffusion loss [L]; in discrete time the first step, and others in the place of all later ones."""
    method = model.method
    if method.exact:
        return expected_costs(model, method.bound, x, 1.0)
    steps = method.needs.steps
    if steps is None:
        return integrate(model, x, method.t_min, 1.0)
    first = round(method.t_min * steps) + 1
    chosen = torch.linspace(first + 1, steps, min(STRATA, steps - first), dtype=torch.float64).round().tolist()
    later = [expected_costs(model, method.bound, x, step / steps) / steps for step in chosen]
    cost = expected_costs(model, method.bound, x, first / steps) / steps
    return cost + (torch.stack(later).mean(0) * (steps - first) if later else 0.0)


def _check_precision(method: Method) -> Check:
    """Scores that bfloat16 holds exactly, in float32, and all but equal to them."""
    rows = _scored_rows(method, ROWS)
    scores = rows.scores.bfloat16().double()
    generator = torch.Generator().manual_seed(1)
    jitter = 1 + JITTER * torch.randn(scores.shape, generator=generator, dtype=torch.float64)
    nats = {
        name: _bound(method, replace(rows, scores=variant))
        for name, variant in {"exact": scores, "float32": scores.float(), "neighbours": scores * jitter}.items()
    }
    changes = {name: difference(nats[name], nats["exact"]) for name in ("float32", "neighbours")}
    name = max(changes, key=lambda name: changes[name])
    meaning = f"scores of bfloat16 cost what the same in float32 and float64 do, and their neighbours at {JITTER:.0e}"
    return Check("probe: precision of scores", f"{changes[name]:.0e} ({name})", changes[name] <= SENSITIVITY, meaning)


def _bound(method: Method, rows: Rows) -> Tensor:
    with at_positions(method, rows.position, LENGTH):
        return method.bound(rows.x, rows.z, rows.t, method.read(rows.scores, rows.z, rows.t))
