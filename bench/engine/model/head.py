"""The output head and the loss, at the scored (masked) positions only and chunk by chunk: scores [B, L, V] never exist.

The forward pass saves only per-chunk costs; the backward pass recomputes each chunk. Gradients of the head's weights
are accumulated in place: with a large vocabulary, one copy of them is larger than a chunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from methods.method import Latent, Nats, Scores

Rows = tuple[Tensor, Tensor]  # sequence and position of each packed entry [N], [N]
Cost = Callable[[Scores, Latent, Rows], Nats]  # scores and z at packed positions -> nats [N], float64


@dataclass(frozen=True)
class ChunkedLoss:
    """A head and a cost that are applied to one chunk of positions at a time."""

    chunks: Sequence[Rows]
    head: Callable[[Tensor], Scores]  # hidden states [N, W] -> scores
    cost: Cost
    output: nn.Linear  # the weights of the head
    method_parameters: Sequence[nn.Parameter]  # that the cost depends on
    dtype: torch.dtype  # of the head's matrix products

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """Weight and bias of the head, followed by the method's parameters."""
        return (*self.output.parameters(), *self.method_parameters)


def chunked_costs(loss: ChunkedLoss, hidden: Tensor, z: Latent) -> Nats:
    """Return the costs of all positions [B, L], float64, from hidden states [B, L, W]; zero at unscored positions."""
    return _ChunkedCosts.apply(loss, hidden, z, *loss.parameters)


class _ChunkedCosts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: ChunkedLoss, hidden: Tensor, z: Latent, *parameters: Tensor) -> Nats:
        ctx.loss = loss
        ctx.save_for_backward(hidden, z)
        costs = torch.zeros(hidden.shape[:2], dtype=torch.float64, device=hidden.device)
        for rows in loss.chunks:
            costs[rows] = loss.cost(loss.head(hidden[rows]), z[rows], rows)
        return costs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Nats) -> tuple[Tensor | None, ...]:
        (hidden, z), loss = ctx.saved_tensors, ctx.loss
        hidden_grad = torch.zeros_like(hidden)
        parameter_grads = [torch.zeros_like(parameter) for parameter in loss.parameters]
        z_grad = torch.zeros_like(z) if z.requires_grad else None
        for rows in loss.chunks:
            grads = _backward_chunk(loss, hidden[rows], z[rows], rows, upstream[rows])
            hidden_grad[rows] = _accumulate(loss, parameter_grads, hidden[rows], grads)
            if z_grad is not None and grads.z is not None:
                z_grad[rows] = grads.z
        return None, hidden_grad, z_grad, *parameter_grads


@dataclass(frozen=True)
class _ChunkGradients:
    scores: Tensor
    z: Tensor | None
    method_parameters: Sequence[Tensor | None]


def _backward_chunk(loss: ChunkedLoss, hidden: Tensor, z: Latent, rows: Rows, upstream: Nats) -> _ChunkGradients:
    """Recompute a chunk and return its gradients."""
    scores = loss.head(hidden).detach().requires_grad_()
    z = z.detach().requires_grad_(z.is_floating_point())
    with torch.enable_grad():
        nats = loss.cost(scores, z, rows)

    inputs = [scores, *([z] if z.requires_grad else []), *loss.method_parameters]
    scores_grad, *grads = torch.autograd.grad(nats, inputs, upstream, allow_unused=True)
    z_grad = grads.pop(0) if z.requires_grad else None
    return _ChunkGradients(scores_grad, z_grad, grads)


def _accumulate(loss: ChunkedLoss, parameter_grads: list[Tensor], hidden: Tensor, grads: _ChunkGradients) -> Tensor:
    """Add the gradients of a chunk to `parameter_grads` in place; return those of its hidden states."""
    weight_grad, bias_grad, *method_grads = parameter_grads
    bias_grad += grads.scores.sum(0).to(bias_grad)

    scores_grad = grads.scores.to(loss.dtype)
    if scores_grad.dtype == weight_grad.dtype:
        weight_grad.addmm_(scores_grad.T, hidden)
    else:
        weight_grad += scores_grad.T @ hidden.to(scores_grad)

    for total, grad in zip(method_grads, grads.method_parameters, strict=True):
        if grad is not None:
            total.add_(grad)
    return (scores_grad @ loss.output.weight.to(scores_grad)).to(hidden)
