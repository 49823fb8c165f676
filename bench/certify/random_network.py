"""A small network of random weights, for checks that need no knowledge."""

import torch
from torch import nn

from bench.engine.model.method_with_network import Model, Precision
from bench.engine.model.network import Shape
from methods.method import Method

VOCAB_SIZE = 3
SHAPE = Shape(layers=1, width=16, heads=2, condition=8, gates="open")


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
