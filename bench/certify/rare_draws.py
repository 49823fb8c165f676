"""Check that rare tokens are drawn at the right rate, which fails in float32.

A Gumbel sampler in float32 never reaches classes below e^-16.6 times the largest, which acts like a lower temperature
(Zheng et al., arXiv:2409.02908). Few classes or big steps hide this; here, a thousand classes have probability 2^-25.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.tightness import MeanEstimate
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


@cache
def count_harness_draws() -> MeanEstimate:
    """The number of rare tokens in ROWS draws of the harness, minus its expectation."""
    return _count_draws(lambda rng: state.draw(rare_law().log().expand(BATCH, -1), rng), rare_law())


@torch.no_grad()
def count_step_draws(method: Method) -> MeanEstimate:
    """The number of rare tokens in ROWS steps that a method draws itself, minus its expectation.

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

    return _count_draws(step, z_law)


def rare_law() -> Tensor:
    """The law of a token [V]: one frequent token, all others rare."""
    return F.pad(torch.full((RARE_TOKENS,), RARE, dtype=torch.float64), (1, 0), value=1 - RARE_TOKENS * RARE)


def _count_draws(draw: Callable[[Stream], Tensor], token_law: Tensor) -> MeanEstimate:
    """The number of rare tokens in ROWS draws minus its expectation under a law, with its Poisson error."""
    rng, count = Stream(0), 0
    for _ in range(ROWS // BATCH):
        ids = draw(rng)
        count += int(((ids > 0) & (ids < VOCAB_SIZE)).sum())
    expected = float(token_law[1:VOCAB_SIZE].sum()) * ROWS
    return MeanEstimate(count - expected, expected**0.5)
