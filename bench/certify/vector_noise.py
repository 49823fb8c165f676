"""The law of noise that falls on vectors.

`log_noise` is known up to a term that is the same for all tokens, which is all that posteriors need. The posterior of a
uniform token is compared with the token itself: their difference times any function of the vectors has mean 0. Draws
show a lower bound on the divergence between z at t = 1 and the prior (Donsker and Varadhan 1983).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from bench.certify.check import Check
from bench.certify.false_alarms import POWER, RATE, combine, is_surprising
from bench.certify.verb_values import LENGTH, noise_texts
from bench.engine.model.method_with_network import times
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from methods.method import Method

UNIFORMS = (1e-9, 0.1, 0.3, 0.5, 0.7, 0.9, 1 - 1e-12)  # of the times, the first and the last among them
DRAWS = 2**15  # for each time
STEPS = ((1.0, 0.5), (0.5, 0.45))  # from t to s, long and short
SURELY_NOT = -300.0  # log-probability of a token that the text does not have
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
    """The scale of log_noise, and what vectors here and next to here can add; None if tokens are certain."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(method.vocab_size, (DRAWS // LENGTH, LENGTH), generator=generator)
    z = noise_texts(method, x, torch.full((len(x),), time, dtype=torch.float64), Stream(seed)).double()
    token, here, following = x[:, :-1].flatten(), z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1)
    t = torch.full(token.shape, time, dtype=torch.float64)
    with at_positions(method, torch.arange(LENGTH - 1).repeat(len(x)), LENGTH):
        log_q = method.log_noise(here, t).double()
    p = log_q.softmax(-1)
    if float((1 - p.amax(-1)).mean()) < UNSURE:
        return None

    surprise = F.one_hot(token, method.vocab_size).double() - p  # of mean 0, whatever z is
    log_q = log_q - (p * log_q).sum(-1, keepdim=True)
    scale, information = (surprise * log_q).sum(-1), float((p * log_q**2).sum(-1).mean())
    features = [scale[:, None], *(_multiply(surprise[:, :-1], vectors) for vectors in (here, following))]
    error = float(scale.std()) / math.sqrt(len(scale)) / information
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


def check_prior_of_vectors(method: Method, seed: int) -> Check:
    """Compare prior_gap with what draws show of the divergence, and the draws of the prior at different positions."""
    ids = torch.arange(method.vocab_size)
    figures, errors = [], []
    like = torch.zeros(DRAWS // LENGTH, LENGTH, dtype=torch.long)
    with in_sequences(method, like):
        prior = method.prior(like, Stream(seed)).double()
        gaps = [float(method.prior_gap(like + token).double().mean()) for token in ids]
    for token in ids[:2]:
        z = noise_texts(method, like + token, torch.ones(len(like), dtype=torch.float64), Stream(seed + 1)).double()
        divergence, error = _bound_divergence(z.flatten(0, 1), prior.flatten(0, 1))
        figures.append(float(stats.norm.sf((divergence - gaps[token]) / error)))
        errors.append(error)

    features = torch.cat([prior, prior**2], -1)
    p_values = [*figures, *(_p_of_means(rows) for rows in (features - features.roll(1, 1)).unbind(1))]
    p_value = combine(p_values)
    distance = float(stats.norm.isf(RATE / len(p_values)) + stats.norm.ppf(POWER))
    sees = f"prior_gap too small by {distance * max(errors):.3f} nats per token"
    meaning = "prior_gap is at least what draws show; the prior is the same at every position"
    return Check("probe: law of the prior", f"p = {p_value:.1g}", not is_surprising(p_value), meaning, sees, p_value)


@torch.no_grad()
def check_known_steps(method: Method, seed: int) -> Iterator[Check]:
    """Compare vectors that a step leads to with those that noise draws, for texts that the network knows for sure.

    A step that puts the guess in the place of the text is exact there, long or short.
    """
    if type(method).step is Method.step:
        return
    spans = [(start, end) for start, end in (_snap(method, *span) for span in STEPS) if start > end]
    figures = [_compare_step(method, *span, seed + i) for i, span in enumerate(spans)]
    p_value = combine(p for p, _ in figures)
    distance = float(stats.norm.isf(RATE / 2 / len(figures) / 2) + stats.norm.ppf(POWER))
    sees = f"variance wrong by {100 * distance * max(error for _, error in figures):.1f} %"
    meaning = "where the text is known, a step, long or short, carries the law of z_t to that of z_s"
    yield Check("probe: steps of known texts", f"p = {p_value:.1g}", not is_surprising(p_value), meaning, sees, p_value)


def _snap(method: Method, start: float, end: float) -> tuple[float, float]:
    """The nearest times that the method knows."""
    steps = method.needs.steps
    if steps is None:
        return start, max(end, method.t_min)
    return round(start * steps) / steps, max(round(end * steps) / steps, method.t_min)


def _compare_step(method: Method, start: float, end: float, seed: int) -> tuple[float, float]:
    """The p-value of equal laws and the relative error of a variance."""
    count = DRAWS // LENGTH
    generator, rng = torch.Generator().manual_seed(seed), Stream(seed)
    x = torch.randint(method.vocab_size, (count, LENGTH), generator=generator)
    t, s = (torch.full((count,), time, dtype=torch.float64) for time in (start, end))
    z, expected = (noise_texts(method, x, time, rng).double() for time in (t, s))
    t_BL, s_BL = t[:, None].expand(x.shape), s[:, None].expand(x.shape)
    log_p = F.one_hot(x, method.vocab_size).double().log().clamp(min=SURELY_NOT)
    with in_sequences(method, x):
        prediction = method.read(method.perfect(log_p, log_p, z, t_BL), z, t_BL)
        reached = method.step(z, t_BL, s_BL, prediction, rng).double()

    features = [torch.cat([value, value**2], -1).flatten(0, 1) for value in (reached, expected)]
    energy = [value.square().sum(-1).flatten() for value in (reached, expected)]
    gain = energy[0] - energy[1]
    p_values = [_p_of_means(features[0] - features[1]), _p_of_means(gain[:, None])]
    return combine(p_values), float(gain.std() / math.sqrt(len(gain)) / energy[1].mean())


def _bound_divergence(z: Tensor, prior: Tensor) -> tuple[float, float]:
    """A lower bound on KL(z || prior) from draws [n, D], and its standard error.

    The log-ratio of two normal laws is fitted to one half of the draws and judged on the other.
    """
    half = len(z) // 2
    laws = [torch.distributions.Normal(draws[:half].mean(0), draws[:half].std(0)) for draws in (z, prior)]

    def ratio(draws: Tensor) -> Tensor:
        return (laws[0].log_prob(draws) - laws[1].log_prob(draws)).sum(-1)

    inside, outside = ratio(z[half:]), ratio(prior[half:]).exp()
    error = math.sqrt((float(inside.var()) + float(outside.var()) / float(outside.mean()) ** 2) / len(inside))
    return float(inside.mean() - outside.mean().log()), max(error, 1e-12)
