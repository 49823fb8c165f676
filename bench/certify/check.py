"""What is certified, and the outcome of one check of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bench.engine.likelihood.estimators import EstimatorName
from bench.engine.model.method_with_network import Precision
from methods import build
from methods.method import Method


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    figure: str  # measured, with its error
    passed: bool
    meaning: str  # the requirement
    sees: str = ""  # the smallest bias that it sees, with its unit; "" if it compares what must be equal
    p_value: float | None = None  # of a figure this far off, for a right method; None if nothing is drawn
    seconds: float = 0.0  # that it took
    group: str = ""  # the entry of `CHECKS` that it belongs to


@dataclass(frozen=True)
class Case:
    """A registered method with its options, the precision of its network's scores, and the estimator of its bound."""

    name: str
    options: Mapping[str, Any]
    precision: Precision = "float32"
    estimator: EstimatorName = "auto"
    seed: int = 0  # of everything that the checks draw

    @property
    def dtype(self) -> torch.dtype:
        """The data type of the scores."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    def build(self, vocab_size: int, **changes: Any) -> Method:
        """Build the method for ids 0..vocab_size-1, always with the same parameters. Raises OptionError."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(self.name, vocab_size, **{**self.options, **changes})
