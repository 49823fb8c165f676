"""Generative perplexity: what a scorer's nats of the texts come to."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.engine.likelihood.metrics import LARGEST
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate
from bench.engine.quality.standard_errors import mean


def gen_ppl(nats: Tensor, tokens: Tensor) -> Estimate:
    """exp(all nats / all scored tokens), per token of the scorer, from nats [n] and tokens [n] of each text.

    The error is the ratio estimator's over texts, carried through exp to first order. A few likely tokens, repeated,
    make it as low as one likes; so does sampling at a lower temperature (Zheng et al., arXiv:2409.02908). Raises as
    `gen_ppl_mean`.
    """
    _check(nats, tokens)
    found = ratio_estimate(nats.double()[:, None], tokens)
    value = math.exp(found.value)
    return replace(found, value=value, standard_error=value * found.standard_error)


def gen_ppl_mean(nats: Tensor, tokens: Tensor) -> Estimate:
    """The mean over texts of exp(nats / tokens), which one bad text can decide; above the corpus's unless all agree.

    Raises ValueError where a text has no scored token, ArithmeticError where a perplexity is no number.
    """
    _check(nats, tokens)
    return mean((nats.double() / tokens).exp().numpy())


def _check(nats: Tensor, tokens: Tensor) -> None:
    assert nats.shape == tokens.shape, (nats.shape, tokens.shape)
    if (empty := int((tokens < 1).sum())) or not len(tokens):
        raise ValueError(f"{empty} of {len(tokens)} texts have no token that the scorer gave a probability")
    each = nats.double() / tokens
    if not (each.isfinite() & (each < LARGEST)).all():
        worst = float(torch.nan_to_num(each, nan=math.inf).max())
        raise ArithmeticError(f"the scorer gave a text {worst:g} nats per token, of which there is no perplexity")
