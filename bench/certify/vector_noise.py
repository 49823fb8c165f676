"""The law of noise that falls on vectors.

`log_noise` is known up to a term that is the same for all tokens, which is all that posteriors need. So the posterior of a
uniform token is compared with the token itself: their difference times any function of the vectors has mean 0.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from bench.certify.check import Check
from bench.certify.false_alarms import POWER, RATE, is_surprising
from bench.certify.state_draws import combine
from bench.engine.model.method_with_network import times
from bench.engine.rng import Stream
from methods.method import Method

UNIFORMS = (1e-9, 0.25, 0.6, 0.9, 1 - 1e-12)  # of the times, the first and the last among them
DRAWS = 2**15  # for each time
UNSURE = 0.02  # mean probability of all but the likeliest token, below which the law of a sum is not normal


class VectorFigures(NamedTuple):
    """What the draws of one time show."""

    p_values: list[float]
    scale_error: float  # standard error of the scale of `log_noise`, relative


def check_vectors(method: Method, seed: int) -> Check:
    """Compare posteriors with tokens, at all times at which vectors leave them in doubt."""
    grid = times(method, torch.tensor(UNIFORMS, dtype=torch.float64)).tolist()
    figures = [figure for i, time in enumerate(grid) if (figure := _compare(method, time, seed + i)) is not None]
    name, meaning = "probe: law of the noise", "corrupt draws each vector by itself, by the law of log_noise"
    if not figures:
        return Check(name, f"no token is in doubt at t = {grid}", False, f"{meaning}: some noise hides tokens")

    p_values = [p_value for figure in figures for p_value in figure.p_values]
    distance = float(stats.norm.isf(RATE / len(p_values) / 2) + stats.norm.ppf(POWER))
    sees = f"log_noise wrong by {100 * distance * min(figure.scale_error for figure in figures):.1f} %"
    p_value = combine(p_values)
    return Check(name, f"p = {p_value:.1g}", not is_surprising(p_value), meaning, sees, p_value)


def _compare(method: Method, time: float, seed: int) -> VectorFigures | None:
    """The scale of log_noise, and what vectors at the same and the next position can add; None if tokens are certain."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(method.vocab_size, (DRAWS, 2), generator=generator)
    t = torch.full((DRAWS,), time, dtype=torch.float64)
    z = method.corrupt(x, t, Stream(seed)).double()
    log_q = method.log_noise(z[:, 0], t).double()
    p = log_q.softmax(-1)
    if float((1 - p.amax(-1)).mean()) < UNSURE:
        return None

    surprise = F.one_hot(x[:, 0], method.vocab_size).double() - p  # of mean 0, whatever z is
    log_q = log_q - (p * log_q).sum(-1, keepdim=True)
    scale, information = (surprise * log_q).sum(-1), float((p * log_q**2).sum(-1).mean())
    features = [scale[:, None], *(_multiply(surprise[:, :-1], z[:, i]) for i in (0, 1))]
    error = float(scale.std()) / math.sqrt(DRAWS) / information
    return VectorFigures([_p_of_means(rows) for rows in features], error)


def _multiply(surprise: Tensor, z: Tensor) -> Tensor:
    """Products of surprises [n, V - 1] with 1 and the coordinates of z [n, D]."""
    features = F.pad(z, (1, 0), value=1.0)
    return (surprise[:, :, None] * features[:, None]).flatten(1)


def _p_of_means(rows: Tensor) -> float:
    """The p-value of the hypothesis that all means of independent rows [n, k] are 0 (Hotelling)."""
    count, width = rows.shape
    mean, covariance = rows.mean(0), torch.cov(rows.T).reshape(width, width)
    statistic = count * float(mean @ torch.linalg.pinv(covariance, hermitian=True) @ mean)
    freedom = int(torch.linalg.matrix_rank(covariance, hermitian=True))
    return float(stats.f.sf(statistic * (count - freedom) / freedom / (count - 1), freedom, count - freedom))
