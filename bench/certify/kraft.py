"""The Kraft sum: whatever the network, the bounds of all texts that can be must not claim more than all probability.

If every bound is at least the -log p(x) of one law, the sum of exp(-bound) is at most 1. No oracle is needed, so that
any method can be asked. The sum of noisy bounds is biased up by half their variance, which is taken off.
"""

from itertools import product

import torch
from torch import nn

from bench.certify.tightness import Figure
from bench.engine.likelihood.bound import bound
from bench.engine.model.model import Model, Precision
from bench.engine.model.network import Shape
from methods.method import Method

VOCAB_SIZE, LENGTH = 3, 3
SHAPE = Shape(layers=1, width=16, heads=2, condition=8, gates="open")
DRAWS, REPLICATES = 32, 16
SPREADS = (0.05, 0.2, 0.5)  # of the weights: a network that guesses nearly evenly claims nearly all


def measure(method: Method, spread: float, precision: Precision = "float32", seed: int = 0) -> Figure:
    """The sum over all texts of exp(-bound) minus 1, for a network of random weights; above 0 it claims too much."""
    texts = torch.tensor(list(product(range(VOCAB_SIZE), repeat=LENGTH)))
    nats = torch.stack(
        list(
            bound(random_network(method, spread, seed, precision), texts, DRAWS, REPLICATES, seed, len(texts)).values()
        )
    )
    each = nats.sum(0)
    claimed = (-each.mean(1)).exp()
    noise = each.var(1) / each.shape[1] if each.shape[1] > 1 else torch.zeros(len(texts), dtype=torch.float64)
    total = claimed.sum() - (claimed * noise / 2).sum()
    return Figure(float(total) - 1, float((claimed.square() * noise).sum().sqrt()))


def random_network(method: Method, spread: float, seed: int, precision: Precision = "float32") -> Model:
    """A small transformer none of whose weights is zero, so that its scores differ from text to text.

    It computes in float64, or as asked in bfloat16.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(method, SHAPE, VOCAB_SIZE, "sdpa", precision)
        model = model if precision == "bfloat16" else model.double()
        for parameter in model.network.parameters():
            nn.init.normal_(parameter, std=spread)
    return model
