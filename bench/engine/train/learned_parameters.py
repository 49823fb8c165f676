"""What a method learns beside the network: scalars, and one number per token by the token's name.

train/result.json stores all of it, tokens in the order of their ids: {"gamma_end": 6.1, "power": {"␣": 0.9, "a": 1.1}}.
"""

from bench.engine.data import Dataset
from bench.engine.data.token_names import name_tokens
from methods.method import Method

Learned = dict[str, float | dict[str, float]]  # a scalar, or numbers by the name of a token


def collect(method: Method, data: Dataset) -> Learned:
    """Return the learned parameters of the method, ready for JSON."""
    return {
        name: dict(zip(name_tokens(data), value.tolist(), strict=True)) if value.dim() else float(value)
        for name, value in method.learned().items()
    }
