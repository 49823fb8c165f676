"""Random numbers: one seed for each purpose, one stream for each evaluated document.

All are drawn in float64 on the CPU, so that they do not depend on the device, the batch size or the number of workers.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor


def seed_for(seed: int, purpose: str) -> int:
    """The seed of one purpose ("init", "order", ...): 63 bits of the SHA-256 of the suite's seed and its name."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Stream:
    """One stream of noise, for training and sampling; its state goes into checkpoints."""

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self.generator = torch.Generator().manual_seed(seed)
        self.device = device

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Independent uniform numbers in [0, 1), float64."""
        return torch.rand(shape, generator=self.generator, dtype=torch.float64).to(self.device)

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers, float64."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.device)

    def integers(self, high: int, count: int) -> Tensor:
        """`count` independent integers below `high`, int64, on the CPU."""
        return torch.randint(high, (count,), generator=self.generator)


class Keyed:
    """Evaluation noise: row b of everything drawn belongs to document b and to nothing else (Philox, keyed by seed,
    document and replicate), so two methods meet the same noise and no batch size can change a value."""

    def __init__(self, seed: int, documents: list[int], replicate: int, device: torch.device | str = "cpu"):
        keys = (np.random.SeedSequence([seed, document, replicate]) for document in documents)
        self.streams = [np.random.Generator(np.random.Philox(key)) for key in keys]
        self.device = device

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Independent uniform numbers in [0, 1), float64; shape[0] is the number of documents."""
        assert shape[0] == len(self.streams), (shape, len(self.streams))
        return torch.from_numpy(np.stack([stream.random(shape[1:]) for stream in self.streams])).to(self.device)

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers, float64; shape[0] is the number of documents."""
        assert shape[0] == len(self.streams), (shape, len(self.streams))
        drawn = np.stack([stream.standard_normal(shape[1:]) for stream in self.streams])
        return torch.from_numpy(drawn).to(self.device)
