"""What a method has learned beside the network: numbers, and numbers for each token by the token's name.

train/result.json holds all of it, tokens in the order of their ids: {"gamma_end": 6.1, "power": {"␣": 0.9, "a": 1.1}}.
What of it enters the tidy table is decided in rows.py.
"""

from bench.engine.data import Dataset
from bench.engine.data.token_names import name_tokens
from methods.method import Method

Learned = dict[str, float | dict[str, float]]  # a number, or a number for each token, by name


def collect(method: Method, data: Dataset) -> Learned:
    """What the method has learned, ready for JSON."""
    return {
        name: dict(zip(name_tokens(data), value.tolist(), strict=True)) if value.dim() else float(value)
        for name, value in method.learned().items()
    }
