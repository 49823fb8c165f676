"""The one estimator of bounds: nats of each sequence, split into prior gap, integral and last guess, with their errors.

Masked methods whose schedule runs from 1 to 0 are evaluated with exactly k masked positions: by the change of variables
from t to the share that is masked, the integral is L times the mean over k = 1..L of the cost of the k masked positions
divided by k, with no epsilon and no ends (OA-ARDM, arXiv:2110.02037v2, section 3; MDLM eq. 10). All others draw t.
Both spread their draws over mirrored strata: pairs u, 1 - u inside each of K / 2 strata.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.model import Model, times
from bench.rng import Keyed
from methods.method import Latent, Tokens, pick

Parts = dict[str, Tensor]  # "prior_gap", "integral", "last_guess": nats [documents, replicates], float64 on the CPU

END_DRAWS = 4  # of so many draws of the integral, one more is spent on the last guess


@dataclass(frozen=True)
class Estimate:
    """A mean with its two errors."""

    value: float
    standard_error: float  # over documents, Monte Carlo noise included; nan for a single document
    monte_carlo_error: float  # over replicates of the noise on the same documents; 0 where the value is exact
    n: int  # documents


@torch.no_grad()
def bound(
    model: Model,
    x: Tokens,
    draws: int,
    replicates: int,
    seed: int,
    batch_size: int,
    report: Callable[[int], None] = lambda done: None,
) -> Parts:
    """The bound of every sequence of x [n, L], from `draws` noisings in each of `replicates` independent repetitions.

    Noise is keyed by (seed, document, replicate): no batch size and no device changes it, and every method meets the
    same. A method that is exact is evaluated once. Raises ArithmeticError when a value is not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    replicates = 1 if model.method.exact else replicates
    parts: list[Parts] = []
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size].to(device)
        documents = list(range(start, start + len(batch)))
        repeats = [_once(model, batch, draws, Keyed(seed, documents, r, device)) for r in range(replicates)]
        parts.append({name: torch.stack([repeat[name] for repeat in repeats], 1).cpu() for name in repeats[0]})
        report(start + len(batch))
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    for name, nats in whole.items():
        if not nats.isfinite().all():
            raise ArithmeticError(f"the {name} of the bound is not finite for {int((~nats.isfinite()).sum())} values")
    return whole


def _once(model: Model, x: Tokens, draws: int, rng: Keyed) -> Parts:
    method = model.method
    if method.exact:
        t = torch.ones(len(x), dtype=torch.float64, device=x.device)
        integral = model.costs(method.bound, x, x, t).sum(-1)
    elif method.masking is not None:
        integral = _mean(_exact_count(model, x, u, rng) for u in mirrored(draws, len(x), rng))
    else:
        integral = _mean(_at_time(model, x, u, rng) for u in mirrored(draws, len(x), rng))
    ends_count = max(1, draws // END_DRAWS) if method.guesses_last else 0
    last = _mean(_last_guess(model, x, rng) for _ in range(ends_count)) if ends_count else torch.zeros_like(integral)
    return {"prior_gap": method.prior_gap(x).sum(-1), "integral": integral, "last_guess": last}


def mirrored(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """`draws` numbers in (0, 1) for each document [documents]: a mirrored pair in each of draws / 2 equal strata."""
    strata = draws // 2
    inside = rng.uniform((documents, strata)).clamp(1e-12, 1 - 1e-12)
    for stratum in range(strata):
        yield (stratum + inside[:, stratum]) / strata
        yield (stratum + 1 - inside[:, stratum]) / strata


def _exact_count(model: Model, x: Tokens, u: Tensor, rng: Keyed) -> Tensor:
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
    return length / k.squeeze(-1).double() * model.costs(model.method.bound, x, z, t).sum(-1) / masking.weight(t)


def _at_time(model: Model, x: Tokens, u: Tensor, rng: Keyed) -> Tensor:
    """The integrand at the times of u ** warp, weighed by how densely they lie and by the length of time, nats [B]."""
    method = model.method
    t = times(method, u**method.warp)
    density = method.warp * u ** (method.warp - 1)
    return density * (1 - method.t_min) * model.costs(method.bound, x, method.corrupt(x, t, rng), t).sum(-1)


def _last_guess(model: Model, x: Tokens, rng: Keyed) -> Tensor:
    """-log p(x | z) at t_min, nats [B]."""
    t = torch.full((len(x),), model.method.t_min, dtype=torch.float64, device=x.device)
    return last_guess_costs(model, x, model.method.corrupt(x, t, rng), t).sum(-1)


def last_guess_costs(model: Model, x: Tokens, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
    """-log p(x | z) at every position [B, L], for z noised to time t."""
    return model.costs(lambda x, z, t, prediction: -pick(model.method.last_guess(z, t, prediction), x), x, z, t, guess)


def _mean(values: Iterator[Tensor]) -> Tensor:
    total, count = torch.zeros(()), 0
    for value in values:
        total, count = total.to(value) + value, count + 1
    return total / count


def estimate(nats: Tensor, sizes: Tensor) -> Estimate:
    """Nats per unit of size: the ratio of sums over documents, from nats [n, replicates] and sizes [n].

    The standard error is the ratio estimator's over documents; the Monte Carlo error is what the noise alone adds.
    """
    n, replicates = nats.shape
    each, total = nats.mean(1), sizes.double().sum()
    value = each.sum() / total
    spread = (each - value * sizes).square().sum()
    standard_error = (n / (n - 1) * spread).sqrt() / total if n > 1 else torch.tensor(math.nan)
    noise = (nats.var(1).sum() / replicates).sqrt() / total if replicates > 1 else torch.zeros(())
    return Estimate(float(value), float(standard_error), float(noise), n)
