"""Texts drawn many at a time, networks that say the same everywhere, and laws that draws are held against."""

import torch
from torch import Tensor, nn

from bench.certify.oracle import Table
from bench.certify.sampler_checks import fit_law, text_indices
from bench.engine.model.method_with_network import Model
from bench.engine.sample.policies import Policy
from bench.engine.sample.sampler import sample
from methods.method import Method
from tests.support.toys import LAW, L, V, model

MANY = 2**14
PAIRS = Table(LAW, V, L)
TRIPLES = Table(torch.randn(V**3, generator=torch.Generator().manual_seed(0)).double().mul(1.5).softmax(0), V, 3)
MASKED = {"mdlm", "md4", "sedd-absorb"}  # all positions alike


class Flat(nn.Module):
    """A network that says the same of every position of any text."""

    def __init__(self, *scores: float):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores, dtype=torch.float64))

    def forward(self, z: Tensor, clock: Tensor | None = None) -> Tensor:
        return self.scores.expand(*z.shape, -1)

    def head(self, hidden: Tensor) -> Tensor:
        return hidden


def flat(method: Method, *scores: float) -> Model:
    made = model(method)
    made.network = Flat(*scores or [0.0] * V)  # type: ignore[assignment]
    return made


def watched(made: Model) -> list[tuple[Tensor, Tensor | None]]:
    """What the network is shown and told, call by call."""
    seen: list[tuple[Tensor, Tensor | None]] = []
    made.network.register_forward_pre_hook(lambda _, given: seen.append((given[0].clone(), given[1])))
    return seen


def follows(ids: Tensor, law: Tensor) -> bool:
    return abs(fit_law(torch.bincount(text_indices(ids, V), minlength=len(law)), law).z_score) < 4


def at(time: float, count: int = 1) -> Tensor:
    return torch.full((count,), time, dtype=torch.float64)


def drawn(made: Model, policy: Policy, calls: int, length: int, seed: int = 0) -> Tensor:
    return sample(made, MANY, length, calls, seed, policy).ids
