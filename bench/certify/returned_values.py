"""What may come back from a verb: shapes, data types and ranges of the contract, and what to do about others."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from methods.method import Tokens

VOCAB_SIZE = 5
ROUNDING = 1e-6

PER_POSITION = "return one number per position, in the shape of x, which is that of t as well; the harness sums"
ANY_SHAPE = (
    "treat every position on its own, whatever the leading shape: index the last axis, and take times as t[..., None]"
)
AS_LOGARITHMS = "these are probabilities; return their logarithms"
IN_FLOAT64 = "compute in float64, or end with .double(): small costs are lost in float32"
IDS = "return ids 0..V-1 as int64; a mask has id V, and needs = Needs(extra_tokens=1)"

Fault = tuple[str, str]  # what came back, and the way out
Judge = Callable[[Any], Iterator[Fault]]  # of what a verb returned


def judge_law(x: Tokens, width: int | None) -> Judge:
    """A judge of log-probabilities over a last axis, of at least V entries or of `width`."""

    def judge(log_p: Any) -> Iterator[Fault]:
        entries = "the V tokens" if width == VOCAB_SIZE else "all ids that z can hold, the mask included"
        way_out = f"return log-probabilities over {entries}, on the last axis"
        shape = (*x.shape, log_p.shape[-1] if width is None and isinstance(log_p, Tensor) else width)
        yield from judge_tensor(shape, "float", way_out=way_out, may_be_infinite=True)(log_p)
        if shape[-1] < VOCAB_SIZE:
            yield f"{describe(log_p)}, for V = {VOCAB_SIZE}", way_out
        if float(log_p.min()) >= 0 and bool(((log_p.sum(-1) - 1).abs() < 1e-3).all()):
            yield describe(log_p), AS_LOGARITHMS

    return judge


def judge_nats(x: Tokens, lowest: float) -> Judge:
    return judge_tensor(x.shape, "float64", lowest, PER_POSITION)


def optional(judge: Judge) -> Judge:
    """The same judge, of a verb that may return None."""
    return lambda value: iter(()) if value is None else judge(value)


def judge_tensor(
    shape: tuple[int, ...] | torch.Size | None,
    kind: str | None,
    lowest: float | None = None,
    way_out: str = ANY_SHAPE,
    may_be_infinite: bool = False,
) -> Judge:
    """A judge of a tensor's shape, data type and range; `kind` is the name of a data type, or "float" for any."""

    def judge(value: Any) -> Iterator[Fault]:
        if not isinstance(value, Tensor):
            yield f"{value!r:.40}", "return a tensor"
            return
        if shape is not None and value.shape != tuple(shape):
            yield f"{describe(value)}, expected {list(shape)}", way_out
        if kind is not None and kind not in str(value.dtype).removeprefix("torch."):
            yield f"{describe(value)}, expected {kind}", IN_FLOAT64 if kind == "float64" else way_out
        if value.isnan().any() or (value.isinf().any() and not may_be_infinite):
            yield (
                f"{describe(value)}, not finite",
                "keep zeros out of logarithms and denominators, as at t = 0 and t = 1",
            )
        if lowest is not None and float(value.min()) < lowest - ROUNDING:
            yield (
                f"{describe(value)}, expected at least {lowest}",
                "costs and rates are not negative; look for a wrong sign",
            )

    return judge


def describe(value: Tensor) -> str:
    """Data type, shape and range."""
    numbers = value[value.isfinite()].double() if value.numel() else value
    span = f", {float(numbers.min()) + 0:.3g} to {float(numbers.max()) + 0:.3g}" if numbers.numel() else ""
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}{span}"
