"""The one estimator of bounds: nats of each sequence, split into prior gap, integral and last guess, with their errors.

Masked methods whose schedule runs from 1 to 0 are evaluated with exactly k masked positions: by the change of variables
from t to the share that is masked, the integral is L times the mean over k = 1..L of the cost of the k masked positions
divided by k, with no epsilon and no ends (OA-ARDM, arXiv:2110.02037v2, section 3; MDLM eq. 10). All others draw t.
Both spread their draws over mirrored strata: pairs u, 1 - u inside each of K / 2 strata. A suite may ask for another
estimator of the same bound, so that their variances can be compared: times in strata also where masks can be counted,
and times that are drawn independently.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bench.engine.likelihood.estimators import Estimator, choose, end_draws, independent, mirrored, unfit
from bench.engine.model.model import Model, last_guess_costs, times
from bench.engine.rng import Keyed
from methods.method import Latent, LogProbs, Method, Nats, Times, Tokens

Parts = dict[str, Tensor]  # nats [documents, replicates], float64 on the CPU, by the names of what they are

PARTS = ("prior_gap", "integral", "last_guess")  # what the bound is the sum of


@torch.no_grad()
def bound(
    model: Model,
    x: Tokens,
    draws: int,
    replicates: int,
    seed: int,
    batch_size: int,
    report: Callable[[int], None] = lambda done: None,
    estimator: Estimator = "auto",
    addends: bool = False,
) -> Parts:
    """The parts of the bound of every sequence of x [n, L], from `draws` noisings in each of `replicates` independent
    repetitions; with `addends` also those of the integral that the method names, as `integral[name]`.

    Noise is keyed by (seed, document, replicate): no batch size and no device changes it, and every method meets the
    same. A method that is exact is evaluated once. Raises ArithmeticError when a value is not finite, ValueError when
    the method cannot be estimated so.
    """
    if reason := unfit(model.method, estimator):
        raise ValueError(f'estimator "{estimator}": {type(model.method).__name__} {reason}')
    model.eval()
    device = next(model.parameters()).device
    replicates = 1 if model.method.exact else replicates
    parts: list[Parts] = []
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size].to(device)
        documents = list(range(start, start + len(batch)))
        repeats = [_once(model, batch, draws, estimator, Keyed(seed, documents, r, device)) for r in range(replicates)]
        parts.append({name: torch.stack([repeat[name] for repeat in repeats], 1).cpu() for name in repeats[0]})
        report(start + len(batch))
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    for name, nats in whole.items():
        if not nats.isfinite().all():
            raise ArithmeticError(f"the {name} of the bound is not finite for {int((~nats.isfinite()).sum())} values")
    return whole if addends else {name: whole[name] for name in PARTS}


def _once(model: Model, x: Tokens, draws: int, estimator: Estimator, rng: Keyed) -> Parts:
    """One replicate, nats [B]."""
    method = model.method
    if method.exact:
        t = torch.ones(len(x), dtype=torch.float64, device=x.device)
        found = _integrand(model, x, x, t)
    elif choose(method, estimator) == "counted":
        found = _mean(_exact_count(model, x, u, rng) for u in mirrored(draws, len(x), rng))
    elif estimator == "independent":
        found = _mean(_at_time(model, x, u, rng, warp=1.0) for u in independent(draws, len(x), rng))
    else:
        found = _mean(_at_time(model, x, u, rng, method.warp) for u in mirrored(draws, len(x), rng))
    ends = end_draws(method, draws, estimator)
    last = _mean({"last_guess": _last_guess(model, x, rng)} for _ in range(ends)) if ends else {}
    nothing = torch.zeros_like(found["integral"])
    whole = {"prior_gap": method.prior_gap(x).sum(-1), "integral": nothing, "last_guess": nothing}
    return whole | found | last


def _integrand(model: Model, x: Tokens, z: Latent, t: Tensor) -> Parts:
    """The integrand of the bound and the addends that the method names, of each sequence [B]."""
    method, named = model.method, list[dict[str, Nats]]()
    if type(method).addends is Method.addends:
        return {"integral": model.costs(method.bound, x, z, t).sum(-1)}

    def cost(x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        named.append(method.addends(x, z, t, prediction))
        return method.bound(x, z, t, prediction)

    found = {"integral": model.costs(cost, x, z, t).sum(-1)}
    empty = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    for rows, addends in zip(model.chunks(z), named, strict=True):  # the pieces that `costs` went through
        for name, nats in addends.items():
            piece, so_far = empty.index_put(rows, nats.double()).sum(-1), found.get(f"integral[{name}]", 0.0)
            found[f"integral[{name}]"] = so_far + piece
    return found


def _exact_count(model: Model, x: Tokens, u: Tensor, rng: Keyed) -> Parts:
    """L / k times the cost of k = 1 + floor(u L) masked positions, per unit of the weight w(t), nats [B].

    One number r a position gives both: the k smallest are masked, and the k-th smallest is 1 - alpha, which is how a
    Beta(k, L - k + 1) variable arises; it is independent of which positions were masked.
    """
    masking = model.method.masking
    assert masking is not None
    length = x.shape[1]
    k = (1 + (u * length).floor().long()).clamp(max=length)[:, None]
    r = rng.uniform(x.shape)
    hidden = r.sort(-1).values.gather(-1, k - 1)
    z = torch.where(r <= hidden, model.vocab_size, x)
    t = masking.inverse(1 - hidden.squeeze(-1))
    share = length / k.squeeze(-1).double()
    return {name: share * nats / masking.weight(t) for name, nats in _integrand(model, x, z, t).items()}


def _at_time(model: Model, x: Tokens, u: Tensor, rng: Keyed, warp: float) -> Parts:
    """The integrand at the times of u ** warp, weighed by how densely they lie and by the length of time, nats [B]."""
    method = model.method
    t = times(method, u**warp)
    density = warp * u ** (warp - 1)
    found = _integrand(model, x, method.corrupt(x, t, rng), t)
    return {name: density * (1 - method.t_min) * nats for name, nats in found.items()}


def _last_guess(model: Model, x: Tokens, rng: Keyed) -> Tensor:
    """-log p(x | z) at t_min, nats [B]."""
    t = torch.full((len(x),), model.method.t_min, dtype=torch.float64, device=x.device)
    return last_guess_costs(model, x, model.method.corrupt(x, t, rng), t).sum(-1)


def _mean(values: Iterator[Parts]) -> Parts:
    draws = list(values)
    return {name: sum((draw[name] for draw in draws[1:]), first) / len(draws) for name, first in draws[0].items()}
