"""The Kraft sum: for any network, exp(-bound) summed over all texts is at most 1.

This holds if every bound is at least -log p(x) for one law p (the Kraft inequality of prefix codes). It needs no
oracle, so it applies to any method. Noise in the bounds biases the sum upwards by half their variance, which is
subtracted.
"""

from itertools import product

import torch
from torch import nn

from bench.certify.tightness import MeanEstimate
from bench.engine.likelihood.bound import bound
from bench.engine.model.method_with_network import Model, Precision
from bench.engine.model.network import Shape
from methods.method import Method

VOCAB_SIZE, LENGTH = 3, 3
SHAPE = Shape(layers=1, width=16, heads=2, condition=8, gates="open")
DRAWS, REPLICATES = 32, 16
SPREADS = (0.05, 0.2, 0.5)  # of the weights; nearly uniform predictions give a sum near 1


def kraft_excess(method: Method, spread: float, precision: Precision = "float32", seed: int = 0) -> MeanEstimate:
    """The Kraft sum minus 1 for a network of random weights; the bound is violated if this is above 0."""
    texts = torch.tensor(list(product(range(VOCAB_SIZE), repeat=LENGTH)))
    network = random_network(method, spread, seed, precision)
    terms = bound(network, texts, DRAWS, REPLICATES, seed, len(texts))
    nats = torch.stack(list(terms.values())).sum(0)

    variance = nats.var(1) / nats.shape[1] if nats.shape[1] > 1 else torch.zeros(len(texts), dtype=torch.float64)
    probability = (-nats.mean(1)).exp()
    total = probability.sum() - (probability * variance / 2).sum()
    return MeanEstimate(float(total) - 1, float((probability.square() * variance).sum().sqrt()))


def random_network(method: Method, spread: float, seed: int, precision: Precision = "float32") -> Model:
    """A small transformer with random nonzero weights, so that its scores depend on the text.

    It computes in float64, or in bfloat16 if asked to.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(method, SHAPE, method.vocab_size, "sdpa", precision)
        model = model if precision == "bfloat16" else model.double()
        for parameter in model.network.parameters():
            nn.init.normal_(parameter, std=spread)
    return model
