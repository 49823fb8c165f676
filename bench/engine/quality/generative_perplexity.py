"""Generative perplexity: the perplexity of samples under a scorer."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.engine.likelihood.metrics import LARGEST
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate
from bench.engine.quality.errors_over_texts import mean_estimate


def gen_ppl(nats: Tensor, tokens: Tensor) -> Estimate:
    """Return exp(all nats / all scored tokens), per token of the scorer, from nats [n] and tokens [n] of each text.

    The error is the ratio estimator's over texts, propagated through exp to first order. Repeating a few likely tokens
    makes it arbitrarily low, and so does a lower temperature (Zheng et al., arXiv:2409.02908). Raises as
    `gen_ppl_mean`.
    """
    _check(nats, tokens)
    mean = ratio_estimate(nats.double()[:, None], tokens)
    value = math.exp(mean.value)
    return replace(mean, value=value, standard_error=value * mean.standard_error)


def gen_ppl_mean(nats: Tensor, tokens: Tensor) -> Estimate:
    """Return the mean over texts of exp(nats / tokens), which a single bad text can dominate.

    It exceeds `gen_ppl` unless all texts agree. Raises ValueError if a text has no scored token, ArithmeticError if a
    perplexity overflows.
    """
    _check(nats, tokens)
    return mean_estimate((nats.double() / tokens).exp().numpy())


def _check(nats: Tensor, tokens: Tensor) -> None:
    assert nats.shape == tokens.shape, (nats.shape, tokens.shape)
    if (empty := int((tokens < 1).sum())) or not len(tokens):
        raise ValueError(f"{empty} of {len(tokens)} texts have no token that the scorer gave a probability")
    per_token = nats.double() / tokens
    if not (per_token.isfinite() & (per_token < LARGEST)).all():
        worst = float(torch.nan_to_num(per_token, nan=math.inf).max())
        raise ArithmeticError(f"the scorer gave a text {worst:g} nats per token, too many for a perplexity")
