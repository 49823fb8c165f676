"""Random numbers: one seed per purpose, and one stream per evaluated document.

All are drawn in float64 on the CPU, so that they do not depend on the device, the batch size or the number of workers.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor


def seed_for(seed: int, purpose: str) -> int:
    """Derive the seed of a purpose ("init", "order", ...): 63 bits of the SHA-256 of the suite's seed and its name."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Stream:
    """A stream of noise for training and sampling; its state goes into checkpoints."""

    def __init__(self, seed: int, device: torch.device | str = "cpu"):
        self.generator = torch.Generator().manual_seed(seed)
        self.device = device

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Draw independent uniform numbers in [0, 1), float64."""
        return torch.rand(shape, generator=self.generator, dtype=torch.float64).to(self.device)

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Draw independent standard normal numbers, float64."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.device)

    def integers(self, high: int, count: int) -> Tensor:
        """Draw `count` independent integers below `high`, int64, on the CPU."""
        return torch.randint(high, (count,), generator=self.generator)


class Keyed:
    """Evaluation noise, keyed by (seed, document, replicate) with Philox.

    Row b of every draw belongs to document b alone: two methods meet the same noise, and no batch size changes a value.
    """

    def __init__(self, seed: int, documents: list[int], replicate: int, device: torch.device | str = "cpu"):
        keys = (np.random.SeedSequence([seed, document, replicate]) for document in documents)
        self.streams = [np.random.Generator(np.random.Philox(key)) for key in keys]
        self.device = device

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Draw independent uniform numbers in [0, 1), float64; shape[0] is the number of documents."""
        assert shape[0] == len(self.streams), (shape, len(self.streams))
        rows = np.stack([stream.random(shape[1:]) for stream in self.streams])
        return torch.from_numpy(rows).to(self.device)

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Draw independent standard normal numbers, float64; shape[0] is the number of documents."""
        assert shape[0] == len(self.streams), (shape, len(self.streams))
        rows = np.stack([stream.standard_normal(shape[1:]) for stream in self.streams])
        return torch.from_numpy(rows).to(self.device)
