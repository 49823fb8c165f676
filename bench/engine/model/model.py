"""A method with its network: predictions at the positions that count, a chunk at a time."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from bench.engine.model.head import Rows, Work, costs_in_pieces
from bench.engine.model.network import Cache, Network, Shape
from methods.method import Latent, LogProbs, Method, Nats, Scores, Tokens, pick

Cost = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x, z, t, prediction at [N] positions -> nats [N]
Precision = Literal["float32", "bfloat16"]

SCORES_AT_ONCE = 2**21  # scores that are in memory at one time: 8 MiB in float32, and a dozen such for a loss


class Model(nn.Module):
    """What is trained and evaluated. Only scored positions reach the head, so B x L x V never exists as a whole."""

    def __init__(self, method: Method, shape: Shape, vocab_size: int, backend: str, precision: Precision = "float32"):
        super().__init__()
        self.method = method
        self.network = Network(shape, vocab_size, method.needs, backend)
        self.vocab_size, self.precision = vocab_size, precision

    def hidden(self, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
        """Hidden states [B, L, W] of z [B, L] at times t [B]; a network that wants a guess and gets none makes it."""
        needs = self.method.needs
        if needs.self_condition and guess is None:
            guess = self.guess(z, t, torch.ones(len(z), dtype=torch.bool, device=z.device))
        clock, shown = self.method.clock(t) if needs.time else None, self.method.feed(z, t)
        with self._autocast(z.device):
            return self.network(shown, clock, guess) if needs.self_condition else self.network(shown, clock)

    def extend(self, z: Latent, t: Tensor, cache: Cache) -> Tensor:
        """Hidden states [B, new, W] of those positions of z [B, L] that the cache does not hold yet; then it does."""
        clock = self.method.clock(t) if self.method.needs.time else None
        with self._autocast(z.device):
            return self.network.extend(self.method.feed(z, t), clock, cache)

    @torch.no_grad()
    def guess(self, z: Latent, t: Tensor, rows: Tensor) -> Tensor:
        """What a self-conditioned network is shown of its own first guess for the sequences that `rows` [B] picks
        [B, L, D]; zeros for the others, and for the first guess itself."""
        shape = (*z.shape[:2], self.method.needs.vector_width)
        result = torch.zeros(shape, dtype=self.network.output.weight.dtype, device=z.device)
        if rows.any():
            first = result[rows]
            hidden = self.hidden(z[rows], t[rows], first)
            for piece in self.chunks(z[rows]):
                prediction = self.predict(hidden, z[rows], t[rows], piece)
                first[piece] = self.method.feedback(prediction).to(first)
            result[rows] = first
        return result

    def predict(self, hidden: Tensor, z: Latent, t: Tensor, rows: Rows) -> LogProbs:
        """The method's reading of the network at the packed positions, in float32 or better [N, V + extras]."""
        return self.method.read(self._scores(hidden[rows]), z[rows], t[rows[0]])

    def _scores(self, hidden: Tensor) -> Scores:
        """The head's scores of packed hidden states, in float32 or better."""
        with self._autocast(hidden.device):
            scores = self.network.head(hidden)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def chunks(self, z: Latent) -> Iterator[Rows]:
        """The positions that count, packed, in pieces that keep the scores in bounds."""
        keep = self.method.scored(z)
        every = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
        rows = (every if keep is None else keep).nonzero(as_tuple=True)
        size = max(1, SCORES_AT_ONCE // (self.vocab_size + self.method.needs.extra_scores))
        yield from zip(rows[0].split(size), rows[1].split(size), strict=True)

    def costs(self, cost: Cost, x: Tokens, z: Latent, t: Tensor, guess: Tensor | None = None) -> Nats:
        """`cost` at every position of x and z [B, L] for times t [B], float64 [B, L]; zero where nothing is scored."""
        hidden, pieces = self.hidden(z, t, guess), list(self.chunks(z))

        def nats(scores: Tensor, z: Latent, rows: Rows) -> Nats:
            return cost(x[rows], z, t[rows[0]], self.method.read(scores, z, t[rows[0]])).double()

        if len(pieces) > 1 and torch.is_grad_enabled():
            dtype = torch.bfloat16 if self.precision == "bfloat16" else hidden.dtype
            own = [parameter for parameter in self.method.parameters() if parameter.requires_grad]
            return costs_in_pieces(Work(pieces, self._scores, nats, self.network.output, own, dtype), hidden, z)
        result = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        for rows in pieces:
            result = result.index_put(rows, nats(self._scores(hidden[rows]), z[rows], rows))
        return result

    def compile_network(self) -> None:
        """Lets torch compile the network, in such a way that a gradient may pass through it twice (`couple`)."""
        functorch.donated_buffer = False
        self.network.compile()

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


END_DRAWS = 4  # of so many draws of the integral, one more is spent on the last guess


def last_guess_costs(model: Model, x: Tokens, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
    """-log p(x | z) at every position [B, L], for z noised to time t."""
    return model.costs(lambda x, z, t, prediction: -pick(model.method.last_guess(z, t, prediction), x), x, z, t, guess)
