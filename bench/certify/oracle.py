"""Sources whose law is known, and the network that knows it: exact posteriors of every token under any method's noise.

Noise that falls on each position by itself turns a Markov source into a hidden Markov model, so that sums forward and
backward (Rabiner 1989) give p(x_i | z), p(x_i | z without z_i) and p(x_i | x_<i) for masks, uniform noise, mixtures and
Gaussian vectors alike; on enumerable spaces they are counted. Everything is float64.

Letters: B texts, L positions, V tokens, S states of the source, N = V^L texts that can be.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor, nn

from bench.engine.data.markov_chain import Chain
from bench.engine.model.method_with_network import Model
from bench.engine.model.positions import in_sequences
from methods.method import Latent, LogProbs, Method, Nats, Tokens

LOWEST = -300.0  # the logarithm of nothing: what cannot be leaves no nan behind


class Source(ABC):
    """A law over texts of `length` tokens."""

    vocab_size: int
    length: int

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tokens:
        """Independent texts [count, L]."""

    @abstractmethod
    def log_evidence(self, log_q: Tensor) -> Nats:
        """log of the sum over texts of p(x) exp(sum_i log_q[i, x_i]), log_q [B, L, V] -> [B]."""

    @abstractmethod
    def others(self, log_q: Tensor) -> LogProbs:
        """log p(x_i | z without z_i) for every token [B, L, V], from log q(z_i | x_i = v) [B, L, V]."""

    def nats(self, x: Tokens) -> Nats:
        """-log p(x) of each text [B]."""
        return -self.log_evidence(self.sure(x))

    def whole(self, log_q: Tensor, others: LogProbs) -> LogProbs:
        """log p(x_i | z) for every token, from what the other positions say."""
        return normalised(others + log_q)

    def conditionals(self, x: Tokens) -> LogProbs:
        """log p(x_i | x_<i) for every token at the positions of x [B, <= L, V]: what follows says nothing."""
        seen, blank = self.sure(x), torch.zeros(len(x), self.length, self.vocab_size, dtype=torch.float64)
        columns = []
        for i in range(x.shape[1]):
            known = torch.cat([seen[:, :i], blank[:, i:]], 1)
            columns.append(self.others(known)[:, i])
        return torch.stack(columns, 1)

    def sure(self, x: Tokens) -> Tensor:
        """log q of noise that changes nothing [B, L, V]."""
        return nn.functional.one_hot(x, self.vocab_size).double().log().clamp(min=LOWEST)


@dataclass(eq=False)
class Table(Source):
    """Any law over an enumerable space: p(text) for all V^L texts in the order of counting, `law` [N]."""

    law: Tensor
    vocab_size: int
    length: int

    @cached_property
    def texts(self) -> Tokens:
        """All texts [N, L]."""
        return torch.tensor(list(product(range(self.vocab_size), repeat=self.length)))

    @property
    def entropy(self) -> float:
        """The mean of -log p(x), nats."""
        return float(-self.law @ self.law.log())

    def sample(self, count: int, generator: torch.Generator) -> Tokens:
        return self.texts[torch.multinomial(self.law, count, True, generator=generator)]

    def log_evidence(self, log_q: Tensor) -> Nats:
        return self._joint(log_q).logsumexp(-1)

    def others(self, log_q: Tensor) -> LogProbs:
        joint, columns = self._joint(log_q), []
        for i in range(self.length):
            rest = (joint - log_q[:, i, self.texts[:, i]])[:, :, None]
            fits = torch.where(self.texts[:, i, None] == torch.arange(self.vocab_size), 0.0, -torch.inf)
            columns.append((rest + fits).logsumexp(1))
        return normalised(torch.stack(columns, 1))

    def _joint(self, log_q: Tensor) -> Tensor:
        """log p(x) q(z | x) of every text [B, N]."""
        places = torch.stack([log_q[:, i, self.texts[:, i]] for i in range(self.length)])
        return self.law.log() + places.sum(0)


@dataclass(eq=False)
class Hidden(Source):
    """A hidden Markov model; a Markov chain of any order is one that shows the last symbol of its state."""

    start: Tensor  # p(first state) [S]
    step: Tensor  # p(next state | state) [S, S]
    emit: Tensor  # p(token | state) [S, V]
    length: int

    def __post_init__(self) -> None:
        self.vocab_size = self.emit.shape[1]

    def sample(self, count: int, generator: torch.Generator) -> Tokens:
        state, tokens = torch.multinomial(self.start, count, True, generator=generator), []
        for _ in range(self.length):
            tokens.append(torch.multinomial(self.emit[state], 1, generator=generator)[:, 0])
            state = torch.multinomial(self.step[state], 1, generator=generator)[:, 0]
        return torch.stack(tokens, 1)

    def log_evidence(self, log_q: Tensor) -> Nats:
        highest = log_q.amax(-1)
        scales = self._forward(self._seen(log_q))[1]
        return (scales.log() + highest).sum(-1)

    def others(self, log_q: Tensor) -> LogProbs:
        seen = self._seen(log_q)
        return normalised(((self._forward(seen)[0] * self._backward(seen)) @ self.emit).log())

    def _seen(self, log_q: Tensor) -> Tensor:
        """p(z_i | state) up to a factor [B, L, S]."""
        return (log_q - log_q.amax(-1, keepdim=True)).exp() @ self.emit.T

    def _forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """p(state_i | z_<i) [B, L, S] and p(z_i | z_<i) up to the factor of `_seen` [B, L]."""
        state, states, scales = self.start.expand(len(seen), -1), [], []
        for i in range(self.length):
            joint = state * seen[:, i]
            states.append(state)
            scales.append(joint.sum(-1))
            state = joint / scales[-1][:, None] @ self.step
        return torch.stack(states, 1), torch.stack(scales, 1)

    def _backward(self, seen: Tensor) -> Tensor:
        """p(z_>i | state_i) up to a factor [B, L, S]."""
        after = [torch.ones_like(seen[:, 0])]
        for i in range(self.length - 1, 0, -1):
            back = (seen[:, i] * after[-1]) @ self.step.T
            after.append(back / back.sum(-1, keepdim=True))
        return torch.stack(after[::-1], 1)


def from_chain(chain: Chain, length: int) -> Hidden:
    """A Markov chain of any order: its states are blocks of symbols, of which each shows its last."""
    blocks, alphabet = chain.law.shape
    step = torch.zeros(blocks, blocks, dtype=torch.float64)
    for block, symbol in product(range(blocks), range(alphabet)):
        step[block, (block * alphabet + symbol) % blocks] += float(chain.law[block, symbol])
    emit = torch.eye(alphabet, dtype=torch.float64).repeat(blocks // alphabet, 1)
    return Hidden(torch.from_numpy(chain.start), step, emit, length)


def normalised(log_p: LogProbs) -> LogProbs:
    """Log-probabilities without minus infinity; a row of a z that cannot be is left as it comes."""
    return log_p.log_softmax(-1).nan_to_num(LOWEST, neginf=LOWEST).clamp(min=LOWEST)


class Oracle(Model):
    """The model whose network knows the source: `perfect` turns exact posteriors into scores, `read` reads them.

    The scores are rounded as those of a network in that precision are; bfloat16 is the precision of its products.
    """

    def __init__(self, method: Method, source: Source, dtype: torch.dtype = torch.float64):
        nn.Module.__init__(self)
        self.method, self.source = method, source
        self.vocab_size, self.precision = source.vocab_size, "float32"
        self.network, self.dtype = Passing(), dtype  # type: ignore[assignment]

    def hidden(self, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
        each = t[:, None].expand(z.shape[:2])
        with in_sequences(self.method, z):
            if self.method.needs.causal:
                known = self.source.conditionals(z)
                return self.method.perfect(known, known, z, each).to(self.dtype)
            log_q = self.method.log_noise(z, each).double().clamp(min=LOWEST)
            others = self.source.others(log_q)
            return self.method.perfect(self.source.whole(log_q, others), others, z, each).to(self.dtype)

    def guess(self, z: Latent, t: Tensor, rows: Tensor) -> Tensor:
        """Nothing that it would need to be shown."""
        return torch.zeros(*z.shape[:2], self.method.needs.vector_width, dtype=torch.float64)


class Passing(nn.Module):
    """The head of a network whose hidden states are scores already."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros((), dtype=torch.float64))  # says on which device the model is

    def head(self, hidden: Tensor) -> Tensor:
        return hidden
