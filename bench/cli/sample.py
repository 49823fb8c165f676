"""`bench sample`: samples from a trained cell, optionally with a prompt or a template with gaps.

samples = draw(find(Path("runs"), "quickstart/MDLM"), SamplesSpec(calls=64), prompt="the ")
samples.texts   # decoded from samples.ids; samples.summary describes how they were drawn
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from bench.cli.prompt import Piece, PromptError, encode, parse_template
from bench.engine import storage
from bench.engine.data import Dataset
from bench.engine.environment import Execution
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import Model
from bench.engine.model.registered_method import check_registered
from bench.engine.rng import seed_for
from bench.engine.sample.policies import POLICIES, is_masked
from bench.engine.sample.sampler import Samples, refusal, sample
from bench.engine.sample.settings import SamplesSpec
from bench.engine.sample.state import NO_TRUNCATION, Prompt
from bench.engine.stages.context import CellContext
from bench.results.staleness import code_origin, is_stale
from methods import check_name
from methods.method import Method, Tokens

Device = Literal["auto", "cpu", "cuda"]

FIDELITY = {  # of a policy to the model's distribution
    "limit": "which tends to the model's distribution with many calls",
    "exact": "which samples the model's distribution exactly",
    "changed": "which changes the model's distribution",
}
UNFINISHED = "training is not finished: these are the weights of its last checkpoint"
OTHER_CODE = "the code has changed since this cell was trained"
OTHER_PRECISION = "this cell was trained in {}, and these samples are drawn in {}"


@dataclass(frozen=True)
class PromptedSamples:
    """Samples, and how they were drawn."""

    texts: list[str]
    pieces: list[list[Piece]]  # of each text
    samples: Samples
    seconds: float  # for all samples together, without loading
    summary: str
    warnings: list[str]

    @property
    def ids(self) -> Tokens:
        """The token ids [count, length]."""
        return self.samples.ids


def open_cell(folder: Path, device: Device) -> CellContext:
    """The cell in a folder, on a device of the user's choice.

    Raises PromptError if the cell is not trained or the device is not available.
    """
    job = storage.read_job(folder)
    if job is None or not (folder / "train" / checkpoint.NAME).exists():
        state, reason = storage.status(folder, "train")
        advice = f"its training failed: {reason}" if state == "failed" else "train it with: bench run SUITE"
        raise PromptError(f"cell {folder.name} has no trained weights; {advice}")

    overrides = {"device": device, "attention": "sdpa"}  # a cell that was trained on a GPU also opens on a CPU
    try:
        return CellContext(folder, job, Execution(**job.execution).model_copy(update=overrides))
    except RuntimeError as error:
        raise PromptError(str(error)) from None


def load(cell: CellContext) -> tuple[Model, Dataset]:
    """The EMA weights and the data. Raises PromptError if these or the plug-in changed since training."""
    try:
        check_registered(cell.job)
        return cell.trained_model(Model), cell.data
    except (ValueError, RuntimeError) as error:  # torch raises RuntimeError for weights of another shape
        raise PromptError(f"cell {cell.folder.name}: {error}") from error


def warnings(cell: CellContext) -> list[str]:
    """What to know before believing the samples."""
    result = storage.read_result(cell.folder, "train")
    if result is None:
        return [UNFINISHED]
    training = next(stage for stage in cell.job.stages if stage.name == "train")
    origin = code_origin(cell.job.method, cell.job.data["source"])
    notes = [OTHER_CODE] if is_stale(cell.folder, training, origin) else []

    trained = result.environment.get("precision", cell.precision)
    return notes if trained == cell.precision else [*notes, OTHER_PRECISION.format(trained, cell.precision)]


def parse_settings(policy: str, options: Sequence[str], **others: Any) -> SamplesSpec:
    """Sampler settings from command-line arguments; `options` are KEY=VALUE for the policy, in JSON or bare.

    Raises OptionError for unknown names, PromptError for invalid values.
    """
    fields = POLICIES[check_name(policy, POLICIES, "policy")].model_fields
    field_names = [name for name in fields if name != "name"]
    values = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise PromptError(f"option {option}: write it as KEY=VALUE, such as grid=cosine")
        check_name(key, field_names, "option", f'policy "{policy}"')
        values[key] = _parse_value(value)
    try:
        return SamplesSpec.model_validate({**others, "policy": {"name": policy, **values}})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))} is {item['input']!r}: {item['msg']}" for item in error.errors()]
        raise PromptError("\n".join(lines)) from None


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def draw(
    cell: Path,
    spec: SamplesSpec = SamplesSpec(),
    prompt: str = "",
    template: str = "",
    seed: int | None = None,
    device: Device = "auto",
) -> PromptedSamples:
    """Draw samples from a trained cell; they are as long as in training, or `spec.length`.

    The seed defaults to the one of the suite's samples, so that equal settings reproduce them. Raises PromptError.
    """
    context = open_cell(cell, device)
    model, data = load(context)
    ids, fixed = encode(data, parse_template(template) if template else [(prompt, True)])

    window = data.summary.length
    length = spec.length or window
    spec = spec.model_copy(update={"stride": _stride(spec.stride, length, window)})
    _check(model.method, context.job.method, spec, fixed, length, window)
    padding = (0, length - len(ids))
    prompted = Prompt(F.pad(ids, padding).repeat(spec.count, 1), F.pad(fixed, padding).repeat(spec.count, 1))

    seed = seed_for(context.job.seed if seed is None else seed, "samples")
    start = time.monotonic()
    samples = draw_prompted(model, spec, prompted, window, seed)
    seconds = time.monotonic() - start

    return PromptedSamples(
        texts=[data.decode(row) for row in samples.ids],
        pieces=[split_pieces(data, row, row_fixed) for row, row_fixed in zip(samples.ids, prompted.fixed, strict=True)],
        samples=samples,
        seconds=seconds,
        summary=summarize(context.job.title, model.method, spec, samples, seconds, has_prompt=bool(fixed.any())),
        warnings=warnings(context),
    )


def _stride(stride: int | None, length: int, window: int) -> int | None:
    """New tokens per window after the first, or None if one window holds the text. Raises PromptError."""
    if stride is not None and (length <= window or stride >= window):
        texts = f"texts of {length} tokens, where training has {window}"
        raise PromptError(f"stride {stride} does not fit {texts}; it is for longer texts, and below {window}")
    return (stride or max(1, window // 2)) if length > window else None


def _check(method: Method, name: str, spec: SamplesSpec, fixed: Tensor, length: int, window: int) -> None:
    """Raise PromptError if the method does not support the settings or the prompt, or nothing is left to draw."""
    reason = refusal(method, spec.sampler_settings(), min(length, window))
    if reason is not None:
        raise PromptError(f'{spec.label()}: method "{name}" {reason}')
    if len(fixed) > length or fixed.sum() == length:
        raise PromptError(f"{len(fixed)} tokens are given of texts of {length}; ask for longer ones with --length")

    gap = int(fixed.long().cumprod(0).sum())
    if method.needs.causal and fixed[gap:].any():
        raise PromptError(
            f'method "{name}" writes from left to right: it can continue a text, but not fill the gap at token '
            f"{gap + 1}, after which more is given; end the template there, or choose a cell of another method"
        )


def draw_prompted(model: Model, spec: SamplesSpec, prompt: Prompt, window: int, seed: int) -> Samples:
    """Draw samples with some tokens given; a text longer than a window is drawn window by window.

    Each window is conditioned on the tokens that are given or drawn inside it.
    """
    count, length = prompt.ids.shape
    settings = spec.sampler_settings()
    if length <= window:
        return sample(model, count, length, spec.calls, seed, prompt=prompt, settings=settings)

    assert spec.stride is not None
    windows = 1 + -(-(length - window) // spec.stride)
    padding = (0, window + (windows - 1) * spec.stride - length)
    ids, fixed = F.pad(prompt.ids, padding), F.pad(prompt.fixed, padding)
    calls, cut_off_share = 0, 0.0
    for number in range(windows):
        columns = slice(number * spec.stride, number * spec.stride + window)
        if fixed[:, columns].all():
            continue
        part = Prompt(ids[:, columns], fixed[:, columns])
        part_seed = seed_for(seed, f"window {number}")
        samples = sample(model, count, window, spec.calls, part_seed, prompt=part, settings=settings)
        ids[:, columns], fixed[:, columns] = samples.ids, True
        calls += samples.network_calls
        cut_off_share += samples.cut_off_share
    return Samples(ids[:, :length], calls, cut_off_share / windows)


def split_pieces(data: Dataset, ids: Tensor, fixed: Tensor) -> list[Piece]:
    """Split a text into given and drawn pieces; one piece if a character of several bytes crosses a border."""
    is_given, counts = fixed.unique_consecutive(return_counts=True)
    parts = [data.decode(part) for part in ids.split(counts.tolist())]
    text = data.decode(ids)
    return list(zip(parts, is_given.tolist(), strict=True)) if "".join(parts) == text else [(text, False)]


def summarize(title: str, method: Method, spec: SamplesSpec, samples: Samples, seconds: float, has_prompt: bool) -> str:
    """Describe the samples in one line: size, cost, settings, and how given tokens condition the others."""
    is_causal = method.needs.causal
    is_changed = spec.greedy_last or spec.sampler_settings().truncation != NO_TRUNCATION
    fidelity = "changed" if is_changed else "exact" if is_causal else spec.policy.fidelity
    parts = [
        f"{len(samples.ids)} x {samples.ids.shape[1]} tokens by {title}: {samples.network_calls:,} network calls, "
        f"{seconds / len(samples.ids):.3g} seconds per sequence",
        f"{spec.label(is_causal)}, {FIDELITY[fidelity]}",
    ]
    if samples.cut_off_share:
        parts.append(f"{samples.cut_off_share:.1%} of the draws had probabilities clamped at 0")
    if has_prompt:
        parts.append(describe_conditioning(method))
    return "; ".join(parts)


def describe_conditioning(method: Method) -> str:
    """How given tokens condition the others."""
    if method.needs.causal:
        return "conditioning is exact: each token is drawn given all before it"
    if is_masked(method):
        return "conditioning is exact: the network sees the given tokens from the start"
    return "given tokens are held at the noise of each time, which is an approximation"
