"""Check that rare tokens are drawn at the right rate, which fails in float32.

A Gumbel sampler in float32 never reaches classes below e^-16.6 times the largest, which acts like a lower temperature
(Zheng et al., arXiv:2409.02908). Few classes or big steps hide this; here, a thousand classes have probability 2^-25.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.estimator_checks import PrescribedNoise
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from bench.engine.sample import state
from methods.method import Method

RARE, RARE_TOKENS = (
    2.0**-25,
    2**10,
)  # probability and number of rare tokens; one more token has the rest
VOCAB_SIZE = RARE_TOKENS + 1
ROWS, BATCH = 3 * 2**18, 2**13
TIME = 0.05  # that a method which draws its own steps reaches from t = 1


@dataclass(frozen=True)
class RareDraws:
    """The number of rare tokens in ROWS draws."""

    count: int
    expected: float


def count_missed() -> int:
    """Count the rare tokens that the harness does not draw where uniform numbers fall into their part of the law."""
    law = rare_law()
    middles = law.cumsum(0) - law / 2
    ids = state.draw(law.log().expand(len(law), -1), PrescribedNoise(middles))
    return int((ids != torch.arange(len(law))).sum())


@torch.no_grad()
def count_step_draws(method: Method, seed: int = 0) -> RareDraws:
    """Count rare tokens in steps that a method draws itself.

    The method knows a source of independent tokens; one step from t = 1 must lead to the law of z at TIME.
    """
    t, s = (torch.full((BATCH,), time, dtype=torch.float64) for time in (1.0, TIME))
    states = torch.arange(VOCAB_SIZE + method.needs.extra_tokens)
    with at_positions(method, torch.zeros_like(states), 1):
        z_law = rare_law() @ method.log_noise(states, torch.full(states.shape, TIME, dtype=torch.float64)).exp().T

    def step(rng: Stream) -> Tensor:
        blank = torch.zeros(BATCH, 1, dtype=torch.long)
        with in_sequences(method, blank):
            z = method.prior(blank, rng)[:, 0]
        with at_positions(method, blank[:, 0], 1):
            posterior = (rare_law().log() + method.log_noise(z, t)).log_softmax(-1)
            others = rare_law().log().expand_as(posterior)
            prediction = method.read(method.perfect(posterior, others, z, t).float(), z, t)
            return method.step(z, t, s, prediction, rng)

    return _count_draws(step, z_law, seed)


def rare_law() -> Tensor:
    """The law of a token [V]: one frequent token, all others rare."""
    return F.pad(torch.full((RARE_TOKENS,), RARE, dtype=torch.float64), (1, 0), value=1 - RARE_TOKENS * RARE)


def _count_draws(draw: Callable[[Stream], Tensor], token_law: Tensor, seed: int) -> RareDraws:
    """The number of rare tokens in ROWS draws, and its expectation under a law."""
    rng, count = Stream(seed), 0
    for _ in range(ROWS // BATCH):
        ids = draw(rng)
        count += int(((ids > 0) & (ids < VOCAB_SIZE)).sum())
    return RareDraws(count, float(token_law[1:VOCAB_SIZE].sum()) * ROWS)
