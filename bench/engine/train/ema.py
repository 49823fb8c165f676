"""Exponential moving average (EMA) of the weights: what is evaluated and sampled from."""

import torch
from torch import Tensor

from bench.engine.model.method_with_network import Model


class EMA:
    """Average the parameters and buffers of a model over its training steps.

    The decay ramps up as (1 + n) / (10 + n) after n steps, so that the random initialization is forgotten quickly.
    """

    def __init__(self, model: Model, decay: float):
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: Model, step: int) -> None:
        """Move the average towards the weights of `model` after its `step`-th update (1, 2, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            self.weights[name].lerp_(tensor, 1 - decay)

    def load(self, weights: dict[str, Tensor], device: torch.device) -> None:
        """Replace the average by `weights` from a checkpoint."""
        self.weights = {name: tensor.to(device) for name, tensor in weights.items()}
