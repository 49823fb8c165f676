"""A method with its network: predictions at the positions that count, a chunk at a time."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.network import Network, Shape
from methods.method import LogProbs, Method, Nats, Tokens

Rows = tuple[Tensor, Tensor]  # sequence and position of each packed entry [N], [N]
Cost = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x, z, t, prediction at [N] positions -> nats [N]
Precision = Literal["float32", "bfloat16"]

SCORES_AT_ONCE = 2**26  # scores that are in memory at one time: 256 MiB in float32


class Model(nn.Module):
    """What is trained and evaluated. Only scored positions reach the head, so B x L x V never exists as a whole."""

    def __init__(self, method: Method, shape: Shape, vocab_size: int, backend: str, precision: Precision = "float32"):
        super().__init__()
        needs = method.needs
        self.method = method
        self.network = Network(
            shape, vocab_size + needs.extra_tokens, vocab_size + needs.extra_scores, needs.causal, needs.time, backend
        )
        self.vocab_size, self.precision = vocab_size, precision

    def hidden(self, z: Tokens, t: Tensor) -> Tensor:
        """Hidden states [B, L, W] of z [B, L] at times t [B]."""
        with self._autocast(z.device):
            return self.network(z, self.method.clock(t) if self.method.needs.time else None)

    def predict(self, hidden: Tensor, z: Tensor, t: Tensor, rows: Rows) -> LogProbs:
        """The method's reading of the network at the packed positions, in float32 or better [N, V + extras]."""
        with self._autocast(z.device):
            scores = self.network.head(hidden[rows])
        return self.method.read(scores.to(torch.promote_types(scores.dtype, torch.float32)), z[rows], t[rows[0]])

    def chunks(self, z: Tokens) -> Iterator[Rows]:
        """The positions that count, packed, in pieces that keep the scores in bounds."""
        keep = self.method.scored(z)
        rows = (torch.ones_like(z, dtype=torch.bool) if keep is None else keep).nonzero(as_tuple=True)
        size = max(1, SCORES_AT_ONCE // (self.vocab_size + self.method.needs.extra_scores))
        yield from zip(rows[0].split(size), rows[1].split(size), strict=True)

    def costs(self, cost: Cost, x: Tokens, z: Tokens, t: Tensor) -> Nats:
        """`cost` at every position of x and z [B, L] for times t [B], float64 [B, L]; zero where nothing is scored."""
        hidden = self.hidden(z, t)
        pieces = list(self.chunks(z))

        def piece(hidden: Tensor, rows: Rows) -> Tensor:
            prediction = self.predict(hidden, z, t, rows)
            return cost(x[rows], z[rows], t[rows[0]], prediction).double()

        result = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        for rows in pieces:  # scores of more than one piece are computed again on the way back instead of kept
            again = torch.is_grad_enabled() and len(pieces) > 1
            value = checkpoint(piece, hidden, rows, use_reentrant=False) if again else piece(hidden, rows)
            result = result.index_put(rows, value)
        return result

    def parameter_counts(self) -> dict[str, int]:
        """All parameters, those outside the token embedding and the output head, and the method's own."""
        total = sum(parameter.numel() for parameter in self.parameters())
        ends = [*self.network.embedding.parameters(), *self.network.output.parameters()]
        return {
            "parameters": total,
            "parameters_non_embedding": total - sum(parameter.numel() for parameter in ends),
            "parameters_method": sum(parameter.numel() for parameter in self.method.parameters()),
        }

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def times(method: Method, u: Tensor) -> Tensor:
    """The times that numbers u in (0, 1) stand for: spread over (t_min, 1), or over the grid i / steps above t_min."""
    steps = method.needs.steps
    if steps is None:
        return method.t_min + (1 - method.t_min) * u
    first = round(method.t_min * steps)
    return (first + 1 + (u * (steps - first)).floor().clamp(max=steps - first - 1)) / steps
