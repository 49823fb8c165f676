"""A method with its network: predictions and costs at the scored positions, chunk by chunk."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from bench.engine.model.head import ChunkedLoss, Rows, chunked_costs
from bench.engine.model.network import Cache, Network, Shape
from bench.engine.model.positions import at_positions, in_sequences
from methods.method import Latent, LogProbs, Method, Nats, Scores, Tokens, pick

Cost = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x, z, t, prediction at [N] positions -> nats [N]
Precision = Literal["float32", "bfloat16"]

SCORES_AT_ONCE = 2**21  # scores in memory at one time: 8 MiB in float32; a loss takes about a dozen times that


class Model(nn.Module):
    """A method and its network. Only scored positions reach the head, and scores [B, L, V] never exist at once."""

    def __init__(self, method: Method, shape: Shape, vocab_size: int, backend: str, precision: Precision = "float32"):
        super().__init__()
        self.method = method
        self.network = Network(shape, vocab_size, method.needs, backend)
        self.vocab_size, self.precision = vocab_size, precision

    def hidden(self, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
        """Return hidden states [B, L, W] of z [B, L] at times t [B].

        A self-conditioned network without a `guess` makes one first.
        """
        needs = self.method.needs
        if needs.self_condition and guess is None:
            guess = self.guess(z, t, torch.ones(len(z), dtype=torch.bool, device=z.device))
        with in_sequences(self.method, z):
            clock, shown = self.method.clock(t) if needs.time else None, self.method.feed(z, t)
        with self._autocast(z.device):
            return self.network(shown, clock, guess) if needs.self_condition else self.network(shown, clock)

    def extend(self, z: Latent, t: Tensor, cache: Cache) -> Tensor:
        """Return hidden states [B, new, W] of the positions of z [B, L] that are not cached yet, and cache them."""
        with in_sequences(self.method, z):
            clock, shown = self.method.clock(t) if self.method.needs.time else None, self.method.feed(z, t)
        with self._autocast(z.device):
            return self.network.extend(shown, clock, cache)

    @torch.no_grad()
    def guess(self, z: Latent, t: Tensor, rows: Tensor) -> Tensor:
        """Return the first guess of a self-conditioned network [B, L, D], for the sequences that `rows` [B] selects.

        It is zero for all other sequences; the network call that makes it is shown zeros.
        """
        shape = (*z.shape[:2], self.method.needs.vector_width)
        guess = torch.zeros(shape, dtype=self.network.output.weight.dtype, device=z.device)
        if rows.any():
            first_guess = guess[rows]
            hidden = self.hidden(z[rows], t[rows], first_guess)
            for chunk in self.chunks(z[rows]):
                prediction = self.predict(hidden, z[rows], t[rows], chunk)
                with at_positions(self.method, chunk[1], z.shape[1]):
                    first_guess[chunk] = self.method.feedback(prediction).to(first_guess)
            guess[rows] = first_guess
        return guess

    def predict(self, hidden: Tensor, z: Latent, t: Tensor, rows: Rows) -> LogProbs:
        """Return the method's prediction at packed positions, in float32 or better [N, V + extras]."""
        return self.read(hidden[rows], z[rows], t[rows[0]], rows[1], z.shape[1])

    def read(self, hidden: Tensor, z: Latent, t: Tensor, positions: Tensor, length: int) -> LogProbs:
        """Return the method's prediction from packed hidden states [N, W], at these positions of sequences."""
        scores = self._scores(hidden)
        with at_positions(self.method, positions, length):
            return self.method.read(scores, z, t)

    def _scores(self, hidden: Tensor) -> Scores:
        """Return the scores of packed hidden states, in float32 or better."""
        with self._autocast(hidden.device):
            scores = self.network.head(hidden)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def chunks(self, z: Latent) -> Iterator[Rows]:
        """Yield the scored positions, packed, in chunks of at most SCORES_AT_ONCE scores."""
        with in_sequences(self.method, z):
            scored = self.method.scored(z)
        if scored is None:
            scored = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
        rows = scored.nonzero(as_tuple=True)
        size = max(1, SCORES_AT_ONCE // (self.vocab_size + self.method.needs.extra_scores))
        yield from zip(rows[0].split(size), rows[1].split(size), strict=True)

    def costs(self, cost: Cost, x: Tokens, z: Latent, t: Tensor, guess: Tensor | None = None) -> Nats:
        """Return `cost` at every position of x and z [B, L] for times t [B], float64 [B, L]; zero at unscored ones."""
        hidden, chunks = self.hidden(z, t, guess), list(self.chunks(z))

        def nats(scores: Tensor, z: Latent, rows: Rows) -> Nats:
            with at_positions(self.method, rows[1], x.shape[1]):
                return cost(x[rows], z, t[rows[0]], self.method.read(scores, z, t[rows[0]])).double()

        if len(chunks) > 1 and torch.is_grad_enabled():
            dtype = torch.bfloat16 if self.precision == "bfloat16" else hidden.dtype
            parameters = [parameter for parameter in self.method.parameters() if parameter.requires_grad]
            loss = ChunkedLoss(chunks, self._scores, nats, self.network.output, parameters, dtype)
            return chunked_costs(loss, hidden, z)

        costs = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        for rows in chunks:
            costs = costs.index_put(rows, nats(self._scores(hidden[rows]), z[rows], rows))
        return costs

    def compile_network(self) -> None:
        """Compile the network, allowing two backward passes through it (`couple`)."""
        functorch.donated_buffer = False
        self.network.compile()

    def parameter_counts(self) -> dict[str, int]:
        """Count all parameters, those outside the token embedding and the output head, and the method's own."""
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
    """Map numbers u in (0, 1) to times: linearly to (t_min, 1), or to the grid i / steps above t_min."""
    steps = method.needs.steps
    if steps is None:
        return method.t_min + (1 - method.t_min) * u
    first = round(method.t_min * steps)
    return (first + 1 + (u * (steps - first)).floor().clamp(max=steps - first - 1)) / steps


END_DRAWS = 4  # one reconstruction draw per END_DRAWS diffusion draws


def last_guess_costs(model: Model, x: Tokens, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
    """Return -log p(x | z) at every position [B, L], for z noised to time t: the reconstruction loss."""
    return model.costs(lambda x, z, t, prediction: -pick(model.method.last_guess(z, t, prediction), x), x, z, t, guess)
