"""Floating-point operations (FLOPs): a closed form of the network's sizes and the method's needs.

A multiply-add counts as two operations, and only matrix products count. With W the width, M the inner width of the MLP,
C that of the condition, F = 128 time features, D the width of vectors and S scores per position, the forward pass of a
sequence of L positions costs

    per position and layer      8 W^2             queries, keys, values and output of attention
                                4 W M             MLP (GELU); 6 W M (SwiGLU, which has a third matrix)
    per sequence and layer      4 L^2 W           attention scores and the weighted sum of values
                                12 C W            adaLN: scale, shift and gate of two norms, with time conditioning
    per sequence                2 C (F + C + 2 W) time embedding and last norm, with time conditioning
    per position                2 D W             vectors, and as much for the guess of a self-conditioned network
    per scored position         2 W S             the output head

The token embedding is a lookup and free. Every position is assumed to be scored: masked methods skip the head at
visible ones, so their count is an upper limit (by 0.01 % for 27 tokens on `small`). A causal network is counted with
all L^2 pairs, as is customary, although a kernel may skip half of them. Not counted are what a method does with the
scores, the optimizer, and recomputation that saves memory.

The backward pass takes two products for each of the forward pass, one per gradient of a factor: a training sequence
costs three forward passes, and more if `couple` itself goes backward through the network (Plaid).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

from bench.engine.likelihood.estimators import EstimatorName, estimator_for
from bench.engine.model.method_instances import CACHE_SIZE
from bench.engine.model.method_with_network import END_DRAWS
from bench.engine.model.network import Shape, TimeEmbedding
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Stream
from bench.engine.train.trainer import SELF_CONDITIONED
from methods.method import Method


@dataclass(frozen=True)
class FlopCounter:
    """FLOPs of a method on a network, for sequences of `length` tokens."""

    method: Method
    shape: Shape
    length: int

    def forward(self, length: int, scored: int) -> int:
        """Return the FLOPs of the forward pass of `length` positions, `scored` of which reach the head."""
        needs, shape, width = self.method.needs, self.shape, self.shape.width
        vectors = (1 + needs.self_condition) * 2 * needs.vector_width * width
        head = 2 * width * (self.method.vocab_size + needs.extra_scores)
        total = length * (shape.layers * layer(shape) + vectors) + scored * head + self.attention_pairs(length)
        return total + (time_conditioning(shape) if needs.time else 0)

    def attention_pairs(self, length: int) -> int:
        """Return the quadratic part of attention in `forward`."""
        return self.shape.layers * 4 * length**2 * self.shape.width

    def sequence(self) -> int:
        """Return the FLOPs of the forward pass of a sequence with every position scored."""
        return self.forward(self.length, self.length)

    def training_step(self, batch_size: int, accumulate: int) -> float:
        """Return the FLOPs of a training step: its noise draws and, if trained, its reconstruction draws."""
        micro_batch, draws = batch_size // accumulate, accumulate * self.method.draws
        ends = max(1, micro_batch // END_DRAWS) if self.method.needs.trains_ends else 0
        return self.training(draws * micro_batch, draws * ends)

    def training(self, noise_draws: int, end_draws: int) -> float:
        """Return the FLOPs of training on these numbers of noise draws and reconstruction draws.

        Assumes the configured fraction of sequences is self-conditioned.
        """
        guess_share = SELF_CONDITIONED if self.method.needs.self_condition else 0.0  # these rows are not coupled
        coupling = 0.0
        if couples_backward(self.method):
            coupling = (1 - guess_share) * (self.sequence() + self.attention_pairs(self.length))
        return (noise_draws + end_draws) * (3 + guess_share) * self.sequence() + noise_draws * coupling

    def bound(self, sequences: float, draws: int, replicates: int = 1, estimator: EstimatorName = "auto") -> float:
        """Return the FLOPs of the bound of `sequences` sequences; an exact likelihood takes one pass per sequence."""
        replicates = 1 if self.method.exact else replicates
        calls = estimator_for(self.method, estimator).network_calls(draws)
        return sequences * replicates * calls * self.sequence()

    def samples(self, count: int, calls: int) -> int:
        """Return the FLOPs of drawing `count` samples.

        Causal methods cache keys and values; each new token attends to all tokens before it.
        """
        if not self.method.needs.causal:
            return count * calls * self.sequence()
        attention = self.attention_pairs(1) * self.length * (self.length + 1) // 2
        return count * (self.length * (self.forward(1, scored=1) - self.attention_pairs(1)) + attention)


def layer(shape: Shape) -> int:
    """Return the FLOPs of one position in one layer, without the quadratic part of attention."""
    width = shape.width
    mlp = 4 * width * 4 * width if shape.mlp == "gelu" else 6 * width * (8 * width // 3)
    return 8 * width**2 + mlp


def time_conditioning(shape: Shape) -> int:
    """Return the FLOPs of time conditioning for one sequence."""
    embedding = 2 * shape.condition * (TimeEmbedding.FEATURES + shape.condition)
    return embedding + 2 * shape.condition * shape.width * (6 * shape.layers + 2)


@lru_cache(CACHE_SIZE)
def couples_backward(method: Method) -> bool:
    """Return True if the method's `couple` runs a backward pass through the network of its own.

    Found by calling `couple` on scores with a gradient hook. That pass makes no gradients of weights: it costs one
    product for each of the forward pass, and two if both factors depend on the input, as in attention.
    """
    if type(method).couple is Method.couple:
        return False
    x = torch.zeros(method.draws, 1, dtype=torch.long)
    t = torch.full((len(x),), 0.5, dtype=torch.float64)
    gradients: list[torch.Tensor] = []
    with in_sequences(method, x):
        z = method.corrupt(x, t, Stream(0))
        inputs = z.sum() + method.clock(t).sum()  # what the scores of a network would depend on
        scores = 0 * inputs + torch.zeros(len(x), 1, method.vocab_size + method.needs.extra_scores)
        if scores.requires_grad:
            scores.register_hook(gradients.append)
        cost = method.objective(x, z, t[:, None], method.read(scores, z, t[:, None]))
        method.couple(cost, x, z, t)
    return bool(gradients)
