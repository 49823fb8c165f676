"""Suite records made by hand, for tests of reports."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.engine.records import DataFacts
from bench.results.suite_record import SuiteRecord
from bench.results.tidy_table import COLUMNS

LN2 = math.log(2)

EXACT, SAMPLED = "exact likelihood; float32", "exactly k masked, 16 draws; float32"

Rows = list[dict[str, Any]]


def make_arm(label: str, bits: float, kind: str = "bound", seed: int = 0, **common: Any) -> Rows:
    """The rows of one cell; `failures` gives the reason of each stage that failed."""
    protocol, failures = EXACT if kind == "exact" else SAMPLED, common.pop("failures", {})
    base = {"suite": "toy", "arm": label, "method": "ar" if kind == "exact" else "mdlm", "seed": seed, "status": "done"}
    base |= {"tokens": 2_000_000} | common
    scores = {"kind": kind, "protocol": protocol, "n": 58, "monte_carlo_error": 0.004}
    curve = {"metric": "nats_per_token", "split": "valid", "standard_error": 0.02}
    measured: dict[str, Rows] = {
        "train": [
            *({**curve, "tokens": k * 500_000, "value": (bits + 1 / k) * LN2} for k in range(1, 5)),
            {"metric": "parameters", "value": 331_776.0},
            {"metric": "seconds", "value": 48.21},
        ],
        "bound": [
            {"metric": "bits_per_char", "value": bits, "standard_error": 0.03, **scores},
            {"metric": "bits_per_byte", "value": bits / 2, "standard_error": 0.015, **scores},
            {"metric": "perplexity", "value": 2**bits, "standard_error": 0.03 * LN2 * 2**bits, **scores},
        ],
        "samples": [{"metric": "network_calls", "value": 128.0}],
    }
    for stage, reason in failures.items():
        measured[stage] = [{"status": "failed", "reason": reason}]
    return [{**COLUMNS, **base, "stage": stage, **row} for stage, rows in measured.items() for row in rows]


def spread_seeds(
    label: str, bits: float, kind: str = "bound", count: int = 3, error: float = 0.03, **common: Any
) -> Rows:
    """An arm of several seeds around a score, with this standard error over them."""
    deviations = [place - (count - 1) / 2 for place in range(count)]
    step = error * math.sqrt(count * (count - 1) / sum(deviation**2 for deviation in deviations))
    arms = [make_arm(label, bits + step * deviations[seed], kind, seed=seed, **common) for seed in range(count)]
    return [row for arm in arms for row in arm]


def make_record(*arms: Rows, **changes: Any) -> SuiteRecord:
    """A record of these arms on 27 letters."""
    table = pd.DataFrame([row for arm in arms for row in arm], columns=list(COLUMNS))
    notes = ["A note on the data."]
    data = DataFacts(vocab_size=27, length=8, level="char", unigram_nats=2.83, notes=notes)
    environment = [{"torch": "2.9.1", "device": "cpu", "commit": "a1b2c3"}]
    samples = {"AR": ["the cat sat", "on the mat"]}
    record = SuiteRecord("toy", "Which is best?", "arms: []\n", table, samples, data, environment, "complete")
    return replace(record, **changes)
