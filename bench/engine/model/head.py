"""The head and the loss behind it, a piece of the positions at a time, so that B x L x V never exists as a whole.

The way forward keeps nothing of a piece but its costs; the way back computes each piece again. The gradient of the
head's weights is added up in place: with a large vocabulary one copy of it weighs more than a piece.
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
class Work:
    """What is done to each piece: `head` gives its scores, `cost` turns them into nats."""

    pieces: Sequence[Rows]
    head: Callable[[Tensor], Scores]
    cost: Cost
    output: nn.Linear  # the head's weights
    others: Sequence[nn.Parameter]  # that the cost depends on
    dtype: torch.dtype  # in which the head's products are computed


def costs_in_pieces(work: Work, hidden: Tensor, z: Latent) -> Nats:
    """The costs of all positions [B, L], float64, from hidden states [B, L, W]; zero where nothing is scored."""
    return _InPieces.apply(work, hidden, z, *_parameters(work))


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: Work, hidden: Tensor, z: Latent, *parameters: Tensor) -> Nats:
        ctx.work = work
        ctx.save_for_backward(hidden, z)
        result = torch.zeros(hidden.shape[:2], dtype=torch.float64, device=hidden.device)
        for rows in work.pieces:
            result[rows] = work.cost(work.head(hidden[rows]), z[rows], rows)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Nats) -> tuple[Tensor | None, ...]:
        (hidden, z), work = ctx.saved_tensors, ctx.work
        sums = [torch.zeros_like(each) for each in (hidden, *_parameters(work))]
        of_z = torch.zeros_like(z) if z.requires_grad else None
        for rows in work.pieces:
            gradients = _of_a_piece(work, hidden[rows], z[rows], rows, upstream[rows])
            _add(work, sums, hidden[rows], rows, gradients)
            if of_z is not None and gradients[1] is not None:
                of_z[rows] = gradients[1]
        return None, sums[0], of_z, *sums[1:]


def _parameters(work: Work) -> tuple[nn.Parameter, ...]:
    return (*work.output.parameters(), *work.others)  # weight, bias, others


def _of_a_piece(work: Work, hidden: Tensor, z: Latent, rows: Rows, upstream: Nats) -> tuple[Tensor | None, ...]:
    """The gradients with respect to the scores, z and the other parameters."""
    scores = work.head(hidden).detach().requires_grad_()
    z = z.detach().requires_grad_(z.is_floating_point())
    with torch.enable_grad():
        nats = work.cost(scores, z, rows)
    wanted = [scores, *([z] if z.requires_grad else []), *work.others]
    of_scores, *rest = torch.autograd.grad(nats, wanted, upstream, allow_unused=True)
    return (of_scores, *(rest if z.requires_grad else (None, *rest)))


def _add(work: Work, sums: list[Tensor], hidden: Tensor, rows: Rows, gradients: tuple[Tensor | None, ...]) -> None:
    """Adds the gradients of a piece to those of hidden states, weight, bias and the other parameters, in place."""
    of_scores = gradients[0]
    assert of_scores is not None
    sums[2] += of_scores.sum(0).to(sums[2])
    g = of_scores.to(work.dtype)
    sums[0][rows] = (g @ work.output.weight.to(g)).to(sums[0])
    if g.dtype == sums[1].dtype:
        sums[1].addmm_(g.T, hidden)
    else:
        sums[1] += g.T @ hidden.to(g)
    for total, each in zip(sums[3:], gradients[2:], strict=True):
        if each is not None:
            total.add_(each)
