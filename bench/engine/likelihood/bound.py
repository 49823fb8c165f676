"""The bound on the negative log-likelihood of each sequence, in nats, with replicates for its Monte Carlo error.

The bound is a sum of three parts. Their names here, and in VDM, D3PM and MD4:

    prior_gap    prior loss L_T: KL divergence of q(z_1 | x) from the prior
    integral     diffusion loss: the integral over t of the method's `bound`
    last_guess   reconstruction loss L_0: -log p(x | z) at t_min

`bench.engine.likelihood.estimators` says how the diffusion loss is estimated, by default with antithetic, stratified
draws. Several estimators of the same bound can be asked for, so that their variances can be compared.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from bench.engine.likelihood.estimators import Estimator, EstimatorName, Terms, estimator_for
from bench.engine.model.method_with_network import Model, last_guess_costs
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Keyed
from methods.method import Latent, LogProbs, Method, Nats, Times, Tokens

Parts = dict[str, Tensor]  # nats [documents, replicates] by name, float64, on the CPU
Reduction = Callable[[Tensor], Tensor]  # of nats [B, L]: to [B], or none

PARTS = ("prior_gap", "integral", "last_guess")  # the bound is their sum


@torch.no_grad()
def bound(
    model: Model,
    x: Tokens,
    draws: int,
    replicates: int,
    seed: int,
    batch_size: int,
    report: Callable[[int], None] = lambda documents: None,
    estimator: EstimatorName = "auto",
    addends: bool = False,
    by_token: bool = False,
    first: int = 0,
) -> Parts:
    """Estimate the parts of the bound of every sequence of x [n, L].

    Each of `replicates` independent replicates takes `draws` noise draws per sequence. With `addends`, also returns the
    terms of the integral that the method names, as `integral[name]`. With `by_token`, every part has a third dimension:
    what each token contributes, [documents, replicates, L]. The sequences are the documents `first`, `first` + 1, ...

    Noise is keyed by (seed, document, replicate): no batch size and no device changes it, and every method meets the
    same. A method whose likelihood is exact is evaluated once. Raises ValueError if the method does not admit the
    estimator, ArithmeticError if a value is not finite.
    """
    chosen = estimator_for(model.method, estimator)
    if reason := chosen.refusal(estimator):
        raise ValueError(f'estimator "{estimator}": {type(model.method).__name__} {reason}')

    model.eval()
    device = next(model.parameters()).device
    replicates = 1 if model.method.exact else replicates
    batches: list[Parts] = []
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size].to(device)
        documents = list(range(first + start, first + start + len(batch)))
        repeats = [
            _replicate(model, batch, draws, chosen, Keyed(seed, documents, r, device), by_token)
            for r in range(replicates)
        ]
        batches.append({name: torch.stack([terms[name] for terms in repeats], 1).cpu() for name in repeats[0]})
        report(start + len(batch))

    parts = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    for name, nats in parts.items():
        if not nats.isfinite().all():
            broken = (~nats.isfinite()).nonzero()
            place = f"{len(broken)} of {nats.numel()} values, at first document {first + int(broken[0, 0])}"
            raise ArithmeticError(f"the {name} of the bound is not finite: {type(model.method).__name__} gives {place}")
    return parts if addends else {name: parts[name] for name in PARTS}


def _replicate(model: Model, x: Tokens, draws: int, estimator: Estimator, rng: Keyed, by_token: bool = False) -> Terms:
    """Estimate the parts once, nats [B], or [B, L] with `by_token`."""
    reduce: Reduction = (lambda nats: nats) if by_token else (lambda nats: nats.sum(-1))

    def integrand(x: Tokens, z: Latent, t: Tensor) -> Terms:
        return _integrand(model, x, z, t, reduce)

    uniforms = estimator.sample_uniforms(draws, len(x), rng)
    diffusion = _mean(estimator.draw(integrand, x, u, rng) for u in uniforms)
    zeros = torch.zeros_like(diffusion["integral"])
    with in_sequences(model.method, x):
        parts = {"prior_gap": reduce(model.method.prior_gap(x)), "integral": zeros, "last_guess": zeros} | diffusion

    count = estimator.reconstruction_draws(draws)
    if count:
        parts |= _mean({"last_guess": reduce(_last_guess(model, x, rng))} for _ in range(count))
    return parts


def _integrand(model: Model, x: Tokens, z: Latent, t: Tensor, reduce: Reduction) -> Terms:
    """Return the integrand of the bound, and the terms of it that the method names, reduced from [B, L]."""
    method = model.method
    if type(method).addends is Method.addends:
        return {"integral": reduce(model.costs(method.bound, x, z, t))}

    terms_of_chunks: list[dict[str, Nats]] = []

    def cost(x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        terms_of_chunks.append(method.addends(x, z, t, prediction))
        return method.bound(x, z, t, prediction)

    terms = {"integral": reduce(model.costs(cost, x, z, t))}
    zeros = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    for rows, addends in zip(model.chunks(z), terms_of_chunks, strict=True):  # the chunks that `costs` went through
        for name, nats in addends.items():
            key = f"integral[{name}]"
            terms[key] = terms.get(key, 0.0) + reduce(zeros.index_put(rows, nats.double()))
    return terms


def _last_guess(model: Model, x: Tokens, rng: Keyed) -> Tensor:
    """Return -log p(x | z) at t_min, nats [B, L]."""
    t = torch.full((len(x),), model.method.t_min, dtype=torch.float64, device=x.device)
    with in_sequences(model.method, x):
        z = model.method.corrupt(x, t, rng)
    return last_guess_costs(model, x, z, t)


def _mean(draws: Iterable[Terms]) -> Terms:
    """Return the mean of every term over the draws."""
    terms = list(draws)
    return {name: sum((draw[name] for draw in terms[1:]), first) / len(terms) for name, first in terms[0].items()}
