"""The one estimator of bounds: nats of each sequence, split into prior gap, integral and last guess, with their errors.

Masked methods whose schedule runs from 1 to 0 are evaluated with exactly k masked positions: by the change of variables
from t to the share that is masked, the integral is L times the mean over k = 1..L of the cost of the k masked positions
divided by k, with no epsilon and no ends (OA-ARDM, arXiv:2110.02037v2, section 3; MDLM eq. 10). All others draw t.
Both spread their draws over mirrored strata: pairs u, 1 - u inside each of K / 2 strata. A suite may ask for another
estimator of the same bound, so that their variances can be compared: times in strata also where masks can be counted,
and times that are drawn independently.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.engine.model.model import Model, times
from bench.engine.rng import Keyed
from methods.method import Latent, LogProbs, Method, Nats, Times, Tokens, pick

Parts = dict[str, Tensor]  # nats [documents, replicates], float64 on the CPU, by the names of what they are
Estimator = Literal["auto", "counted", "times", "independent"]

PARTS = ("prior_gap", "integral", "last_guess")  # what the bound is the sum of
END_DRAWS = 4  # of so many draws of the integral, one more is spent on the last guess


@dataclass(frozen=True)
class Estimate:
    """A mean with its two errors."""

    value: float
    standard_error: float  # over documents, Monte Carlo noise included; nan for a single document
    monte_carlo_error: float  # over replicates of the noise on the same documents; 0 where the value is exact
    n: int  # documents
    clusters: int = 0  # of documents that may vary together; 0 where each varies by itself


def choose(method: Method, asked: Estimator = "auto") -> Estimator:
    """What is meant by `auto`: masks are counted where the method allows it, else times are drawn in strata."""
    if asked != "auto":
        return asked
    return "times" if method.masking is None else "counted"


def unfit(method: Method, asked: Estimator) -> str | None:
    """Why the bound of a method cannot be estimated so; None where it can."""
    if method.exact and asked != "auto":
        return "is a likelihood, of which nothing is estimated"
    if asked == "counted" and method.masking is None:
        return "does not mask every position alike along a schedule from 1 to 0, so that counting masks does not hold"
    return None


def say_estimator(method: Method, asked: Estimator, draws: int | None = None) -> str:
    """How the bound of a sequence is estimated, in words, and from how many draws in a replicate."""
    if method.exact:
        return "exact likelihood"
    chosen, steps = choose(method, asked), method.needs.steps
    kind = "independent" if chosen == "independent" else "stratified"
    on_time = f"t on {steps} steps" + ", independent" * (chosen == "independent") if steps else f"{kind} t"
    how = "exactly k masked" if chosen == "counted" else on_time
    return how if draws is None else f"{how}, {draws} draws"


def end_draws(method: Method, draws: int, estimator: Estimator = "auto") -> int:
    """Draws of the last guess; none where nothing is left to guess, as with counted masks."""
    has_ends = method.masking is not None and choose(method, estimator) != "counted" and method.t_min > 0
    return max(1, draws // END_DRAWS) if method.guesses_last or has_ends else 0


def calls(method: Method, draws: int, estimator: Estimator = "auto") -> int:
    """Network calls for one sequence in one replicate; a self-conditioned network looks twice at each noising."""
    if method.exact:
        return 1
    return (draws + end_draws(method, draws, estimator)) * (1 + method.needs.self_condition)


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


def mirrored(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """`draws` numbers in (0, 1) for each document [documents]: a mirrored pair in each of draws / 2 equal strata."""
    strata = draws // 2
    inside = rng.uniform((documents, strata)).clamp(1e-12, 1 - 1e-12)
    for stratum in range(strata):
        yield (stratum + inside[:, stratum]) / strata
        yield (stratum + 1 - inside[:, stratum]) / strata


def independent(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """`draws` numbers in (0, 1) for each document [documents], which know nothing of each other."""
    yield from rng.uniform((documents, draws)).clamp(1e-12, 1 - 1e-12).unbind(1)


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


def last_guess_costs(model: Model, x: Tokens, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
    """-log p(x | z) at every position [B, L], for z noised to time t."""
    return model.costs(lambda x, z, t, prediction: -pick(model.method.last_guess(z, t, prediction), x), x, z, t, guess)


def _mean(values: Iterator[Parts]) -> Parts:
    draws = list(values)
    return {name: sum((draw[name] for draw in draws[1:]), first) / len(draws) for name, first in draws[0].items()}


def estimate(nats: Tensor, sizes: Tensor, clusters: Tensor | None = None) -> Estimate:
    """Nats per unit of size: the ratio of sums over documents, from nats [n, replicates] and sizes [n].

    The standard error is the ratio estimator's over documents; where `clusters` [n], numbered from 0, tells which of
    them may vary together, that over these, sqrt(G / (G - 1) * sum over G clusters of (sum of residuals)^2) with G - 1
    degrees of freedom (Liang and Zeger, 1986, Longitudinal data analysis using generalized linear models, with the
    factor for few clusters). The Monte Carlo error is what the noise alone adds.
    """
    n, replicates = nats.shape
    each, total = nats.mean(1), sizes.double().sum()
    value = each.sum() / total
    residuals = each - value * sizes
    if clusters is not None:
        residuals = torch.zeros(int(clusters.max()) + 1).to(residuals).index_add(0, clusters, residuals)
    count, spread = len(residuals), residuals.square().sum()
    standard_error = (count / (count - 1) * spread).sqrt() / total if count > 1 else torch.tensor(math.nan)
    noise = (nats.var(1).sum() / replicates).sqrt() / total if replicates > 1 else torch.zeros(())
    return Estimate(float(value), float(standard_error), float(noise), n, 0 if clusters is None else count)
