"""What work costs, in floating-point operations (FLOPs): a closed form of the network's sizes and the method's needs.

A multiplication with its addition counts as two, and only products of matrices count. With W the width, M the inner
width of the MLP, C that of the condition, F = 128 features of time, D the width of vectors, S scores a position, one
sequence of L positions that goes forward through the network takes

    each position and layer     8 W^2             queries, keys, values and output of attention
                                4 W M             MLP (GELU); 6 W M (SwiGLU, which has a third matrix)
    each sequence and layer     4 L^2 W           every query with every key, and the mixture of the values
                                12 C W            adaLN: scale, shift and gate of two norms, if the network is told time
    each sequence               2 C (F + C + 2 W) the embedding of time and the last norm, if it is told time
    each position               2 D W             vectors, and as much for the guess of a self-conditioned network
    each scored position        2 W S             the head

The embedding of tokens is looked up, which is free. Every position is taken as scored: a masked method spares the head
at visible ones, so that its count is an upper limit (by 0.01 % for 27 tokens on `small`). A causal network is counted
with all L^2 pairs, as is customary, though a kernel may skip half of them. Left out are what a method does with the
scores, the optimizer, and what is computed twice to save memory.

On the way back every product takes two more, one for the gradient of each of its factors: training a sequence costs
three times the way forward, and more where `couple` goes back through the network once by itself (Plaid).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

from bench.engine.likelihood.estimators import EstimatorName, estimator_for
from bench.engine.model.method_instances import CACHE_SIZE
from bench.engine.model.model import END_DRAWS
from bench.engine.model.network import Shape, TimeEmbedding
from bench.engine.rng import Stream
from bench.engine.train.trainer import SELF_CONDITIONED
from methods.method import Method


@dataclass(frozen=True)
class FlopCounter:
    """What a method costs on a network, for sequences of `length` tokens."""

    method: Method
    shape: Shape
    length: int

    def forward(self, length: int, scored: int) -> int:
        """One sequence of `length` positions, the head at `scored` of them."""
        needs, shape, width = self.method.needs, self.shape, self.shape.width
        fed = (1 + needs.self_condition) * 2 * needs.vector_width * width
        head = 2 * width * (self.method.vocab_size + needs.extra_scores)
        total = length * (shape.layers * layer(shape) + fed) + scored * head + self.pairs(length)
        return total + (clock(shape) if needs.time else 0)

    def pairs(self, length: int) -> int:
        """The share of attention's quadratic part in `forward`."""
        return self.shape.layers * 4 * length**2 * self.shape.width

    def whole(self) -> int:
        """One sequence, every position scored."""
        return self.forward(self.length, self.length)

    def step(self, batch_size: int, accumulate: int) -> float:
        """One step of training: all noisings of a batch and, where they carry gradients, those of its two ends."""
        batch, draws = batch_size // accumulate, accumulate * self.method.draws
        ends = max(1, batch // END_DRAWS) if self.method.needs.trains_ends else 0
        return self.trained(draws * batch, draws * ends)

    def trained(self, noisings: int, ends: int) -> float:
        """Training on so many noised sequences, and on so many that are noised to the ends of the bound.

        Of a network that is shown its own guess, the share that is shown one is taken to be what is asked for.
        """
        shown = SELF_CONDITIONED if self.method.needs.self_condition else 0.0  # of the sequences; they are not coupled
        coupled = (1 - shown) * (self.whole() + self.pairs(self.length)) if couples_backward(self.method) else 0.0
        return (noisings + ends) * (3 + shown) * self.whole() + noisings * coupled

    def bound(self, sequences: float, draws: int, replicates: int = 1, estimator: EstimatorName = "auto") -> float:
        """The bound of so many sequences; an exact likelihood takes one look at each."""
        replicates = 1 if self.method.exact else replicates
        return sequences * replicates * estimator_for(self.method, estimator).network_calls(draws) * self.whole()

    def samples(self, count: int, calls: int) -> int:
        """Drawn texts; a causal method keeps the keys and values of its prefix, and each token looks at all of them."""
        if self.method.needs.causal:
            looks = self.pairs(1) * self.length * (self.length + 1) // 2
            return count * (self.length * (self.forward(1, scored=1) - self.pairs(1)) + looks)
        return count * calls * self.whole()


def layer(shape: Shape) -> int:
    """One position in one layer, but for attention's quadratic part."""
    width = shape.width
    mlp = 4 * width * 4 * width if shape.mlp == "gelu" else 6 * width * (8 * width // 3)
    return 8 * width**2 + mlp


def clock(shape: Shape) -> int:
    """What telling the network the time costs, for one sequence."""
    embedding = 2 * shape.condition * (TimeEmbedding.FEATURES + shape.condition)
    return embedding + 2 * shape.condition * shape.width * (6 * shape.layers + 2)


@lru_cache(CACHE_SIZE)
def couples_backward(method: Method) -> bool:
    """Whether `couple` goes back through the network by itself, for gradients that the step's own way back lacks.

    A method of its own `couple` is asked with scores that stand for those of a network. That way makes no gradients of
    weights: it costs one product for each of the way forward, and two where both factors depend on the input, as in
    attention.
    """
    if type(method).couple is Method.couple:
        return False
    x = torch.zeros(method.draws, 1, dtype=torch.long)
    t = torch.full((len(x),), 0.5, dtype=torch.float64)
    z = method.corrupt(x, t, Stream(0))
    shown = z.sum() + method.clock(t).sum()  # what the scores of a network would depend on
    scores = 0 * shown + torch.zeros(len(x), 1, method.vocab_size + method.needs.extra_scores)
    seen: list[torch.Tensor] = []
    if scores.requires_grad:
        scores.register_hook(seen.append)
    cost = method.objective(x, z, t[:, None], method.read(scores, z, t[:, None]))
    method.couple(cost, x, z, t)
    return bool(seen)
