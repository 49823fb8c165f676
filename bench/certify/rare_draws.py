"""Draws of rare classes: float64 draws them as often as it should, float32 does not.

A Gumbel sampler in float32 never reaches classes below e^-16.6 of the largest, and acts like a lower temperature (Zheng
et al., arXiv:2409.02908). With few classes and big steps that hides; here a thousand classes have 2^-25 each.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.certify.tightness import Figure
from bench.engine.rng import Stream
from bench.engine.sample import state
from methods.method import Method

RARE, TOKENS = 2.0**-25, 2**10  # the mass of one rare token, and their number; one more token has the rest
VOCAB_SIZE = TOKENS + 1
ROWS, AT_ONCE = 3 * 2**18, 2**13
TIME = 0.05  # to which a method that draws by itself steps, from noise


@cache
def of_the_harness() -> Figure:
    """The rare tokens that the harness's own draws write, less those that they have to, by `ROWS` draws."""
    return _tally(lambda rng: state.draw(law().log().expand(AT_ONCE, -1), rng), law())


@torch.no_grad()
def of_a_step(method: Method) -> Figure:
    """The same for a method on ids that draws its steps by itself, knowing a source of independent tokens.

    From noise at t = 1 one step has to lead to the law of z at the earlier time.
    """
    t, s = (torch.full((AT_ONCE,), each, dtype=torch.float64) for each in (1.0, TIME))
    states = torch.arange(VOCAB_SIZE + method.needs.extra_tokens)
    each = law() @ method.log_noise(states, torch.full(states.shape, TIME, dtype=torch.float64)).exp().T

    def step(rng: Stream) -> Tensor:
        z = method.prior(torch.zeros(AT_ONCE, 1, dtype=torch.long), rng)[:, 0]
        whole = (law().log() + method.log_noise(z, t)).log_softmax(-1)
        others = law().log().expand_as(whole)
        prediction = method.read(method.perfect(whole, others, z, t).float(), z, t)
        return method.step(z, t, s, prediction, rng)

    return _tally(step, each)


def law() -> Tensor:
    """The law of a token [V], the first one frequent and all others rare."""
    return F.pad(torch.full((TOKENS,), RARE, dtype=torch.float64), (1, 0), value=1 - TOKENS * RARE)


def _tally(draw: Callable[[Stream], Tensor], each: Tensor) -> Figure:
    """Rare tokens among ROWS draws, less their number under the law `each`, with the error of a Poisson number."""
    rng, seen = Stream(0), 0
    for _ in range(ROWS // AT_ONCE):
        ids = draw(rng)
        seen += int(((ids > 0) & (ids < VOCAB_SIZE)).sum())
    expected = float(each[1:VOCAB_SIZE].sum()) * ROWS
    return Figure(seen - expected, expected**0.5)
