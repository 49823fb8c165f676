"""`bench sample`: draws texts from a trained cell for a person, who may give their beginning or all but some gaps.

drawn = draw(find(Path("runs"), "quickstart/MDLM"), SamplesSpec(calls=64), prompt="the ")
drawn.texts   # of drawn.ids; what it took is in drawn.told
"""

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from torch import Tensor

from bench.engine import storage
from bench.engine.data import Dataset
from bench.engine.data.token_names import make_visible
from bench.engine.data.tokenizers.tokenizer import Characters
from bench.engine.environment import Execution
from bench.engine.model import checkpoint
from bench.engine.model.model import Model
from bench.engine.rng import seed_for
from bench.engine.sample.policies import POLICIES, is_masked
from bench.engine.sample.sampler import Samples, refusal, sample
from bench.engine.sample.settings import SamplesSpec
from bench.engine.sample.state import NO_TRUNCATION, Prompt
from bench.engine.stages.context import CellContext
from bench.results.staleness import is_stale
from methods import check_name
from methods.method import Method, Tokens

Device = Literal["auto", "cpu", "cuda"]
Piece = tuple[str, bool]  # a piece of a text, and whether it was given

LISTED = 100  # the largest vocabulary that an error spells out
FIDELITY = {  # of a policy to the law of the model
    "limit": "which tends to the model's law with many calls",
    "exact": "which keeps the model's law",
    "changed": "which changes the model's law",
}
ADDED_LATER = "its training is not finished: these are the weights of its last checkpoint"
OTHER_CODE = "it was trained by other code than that which draws now"


class PromptError(ValueError):
    """Texts that cannot be drawn as they were asked for."""


@dataclass(frozen=True)
class Drawn:
    """Texts, and in words what they took."""

    texts: list[str]
    pieces: list[list[Piece]]  # of each text
    samples: Samples
    seconds: float  # for all texts together, without loading
    told: str
    warnings: list[str]

    @property
    def ids(self) -> Tokens:
        """The ids of the texts [count, length]."""
        return self.samples.ids


def open_cell(folder: Path, device: Device) -> CellContext:
    """The cell in a folder, on the device of the person who asks.

    Raises PromptError if the cell is not trained or the device is not available.
    """
    job = storage.read_job(folder)
    if job is None or not (folder / "train" / checkpoint.NAME).exists():
        state, reason = storage.status(folder, "train")
        advice = f"its training failed: {reason}" if state == "failed" else "train it with: bench run SUITE"
        raise PromptError(f"cell {folder.name} has no trained weights; {advice}")

    overrides = {"device": device, "attention": "sdpa"}  # a cell of a GPU can be looked at on a CPU
    try:
        return CellContext(folder, job, Execution(**job.execution).model_copy(update=overrides))
    except RuntimeError as error:
        raise PromptError(str(error)) from None


def load(cell: CellContext) -> tuple[Model, Dataset]:
    """The EMA weights and the data. Raises PromptError if these or the plug-in changed since training."""
    try:
        cell.load_plugin()
        return cell.trained_model(Model), cell.data
    except (ValueError, RuntimeError) as error:  # torch raises RuntimeError for weights of another shape
        raise PromptError(f"cell {cell.folder.name}: {error}") from error


def warnings(cell: CellContext) -> list[str]:
    """What to know before believing the samples."""
    result = storage.read_result(cell.folder, "train")
    if result is None:
        return [ADDED_LATER]
    return [OTHER_CODE] if is_stale(result, "train", cell.job.method) else []


def settings(policy: str, options: Sequence[str], **others: Any) -> SamplesSpec:
    """How to draw, from the words of a command: `options` are key=value for fields of the policy, in JSON or bare.

    Raises OptionError on unknown names, PromptError on values that will not do.
    """
    fields = POLICIES[check_name(policy, POLICIES, "policy")].model_fields
    own = {}
    for option in options:
        key, given, value = option.partition("=")
        if not given:
            raise PromptError(f"option {option}: write it as key=value, such as grid=cosine")
        check_name(key, [name for name in fields if name != "name"], "option", f'policy "{policy}"')
        own[key] = _value(value)
    try:
        return SamplesSpec.model_validate({**others, "policy": {"name": policy, **own}})
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc']))} is {fault['input']!r}: {fault['msg']}" for fault in error.errors()
        )
        raise PromptError("\n".join(faults)) from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def gaps(template: str) -> list[Piece]:
    r"""The pieces of a template: each underscore is a token to be drawn; \_ is an underscore, \\ a backslash."""
    found = re.findall(r"(_+)|((?:\\[_\\]|[^_])+)", template)
    return [(gap, False) if gap else (re.sub(r"\\([_\\])", r"\1", text), True) for gap, text in found]


def encode(data: Dataset, pieces: Iterable[Piece]) -> tuple[Tokens, Bool[Tensor, " N"]]:
    """The ids of the known pieces, 0 in gaps, and what is known; raises PromptError on unknown characters."""
    ids, fixed = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, dtype=torch.bool)]
    for text, is_known in pieces:
        if is_known:
            _check_characters(data, text)
        encoded = torch.from_numpy(data.vocabulary.encode(text).astype("int64")) if is_known else torch.zeros(len(text))
        ids.append(encoded.long())
        fixed.append(torch.full(encoded.shape, is_known))
    return torch.cat(ids), torch.cat(fixed)


def _check_characters(data: Dataset, text: str) -> None:
    vocabulary = data.vocabulary
    strange = sorted(set(text) - set(vocabulary.symbols)) if isinstance(vocabulary, Characters) else []
    if strange:
        assert isinstance(vocabulary, Characters)
        few = vocabulary.size <= LISTED
        there = f"; it has {make_visible(vocabulary.symbols)}" if few else ""
        told = ", ".join(repr(character) for character in strange)
        raise PromptError(f"the vocabulary of source {data.facts.source} has no {told}{there}")


def draw(
    cell: Path,
    spec: SamplesSpec = SamplesSpec(),
    prompt: str = "",
    template: str = "",
    seed: int | None = None,
    device: Device = "auto",
) -> Drawn:
    """Texts of a trained cell; without a seed the one by which its suite drew, so that equal settings draw the same.

    Texts are as long as in training, or `spec.length`, and begin with the prompt or the template. Raises PromptError.
    """
    context = open_cell(cell, device)
    model, data = load(context)
    ids, fixed = encode(data, gaps(template) if template else [(prompt, True)])
    window = data.facts.length
    length = spec.length or window
    spec = spec.model_copy(update={"stride": _stride(spec.stride, length, window)})
    _check(model.method, context.job.method, spec, fixed, length, window)
    given = Prompt(*(F.pad(each, (0, length - len(ids))).repeat(spec.count, 1) for each in (ids, fixed)))
    seed, began = seed_for(context.job.seed if seed is None else seed, "samples"), time.monotonic()
    drawn = draw_known(model, spec, given, window, seed)
    seconds = time.monotonic() - began
    told = _told(context.job.title, model.method, spec, drawn, seconds, bool(fixed.any()))
    pieces = [_pieces(data, row, known) for row, known in zip(drawn.ids, given.fixed, strict=True)]
    return Drawn([data.decode(row) for row in drawn.ids], pieces, drawn, seconds, told, warnings(context))


def _stride(stride: int | None, length: int, window: int) -> int | None:
    """The new tokens of each window after the first, None where one window holds the text; raises PromptError."""
    if stride is not None and (length <= window or stride >= window):
        why = f"texts of {length} tokens, of which training has {window}"
        raise PromptError(f"stride {stride} does not fit {why}; it is for longer texts, and below {window}")
    return (stride or max(1, window // 2)) if length > window else None


def _check(method: Method, name: str, spec: SamplesSpec, fixed: Tensor, length: int, window: int) -> None:
    """Raises PromptError where the method cannot draw so, or what is given leaves it nothing to draw."""
    reason = refusal(method, spec.sampler_settings(), min(length, window))
    if reason is not None:
        raise PromptError(f'{spec.label()}: method "{name}" {reason}')
    if len(fixed) > length or fixed.sum() == length:
        raise PromptError(f"{len(fixed)} tokens are given of texts of {length}; ask for longer ones with --length")
    gap = int(fixed.long().cumprod(0).sum())
    if method.needs.causal and fixed[gap:].any():
        raise PromptError(
            f'method "{name}" writes from left to right: it can continue a text, not fill the gap at token {gap + 1}, '
            "after which more is given; end the template there, or take a cell of another method"
        )


def draw_known(model: Model, spec: SamplesSpec, given: Prompt, window: int, seed: int) -> Samples:
    """`draw_samples` of a suite where some tokens are given; beyond a window each one sees what is given inside it."""
    count, length = given.ids.shape
    if length <= window:
        return sample(model, count, length, spec.calls, seed, prompt=given, settings=spec.sampler_settings())
    assert spec.stride is not None
    more = -(-(length - window) // spec.stride)  # windows after the first
    room = (0, window + more * spec.stride - length)
    ids, fixed, calls, cut = F.pad(given.ids, room), F.pad(given.fixed, room), 0, 0.0
    for number in range(more + 1):
        here = slice(number * spec.stride, number * spec.stride + window)
        if fixed[:, here].all():
            continue
        part, its_seed = Prompt(ids[:, here], fixed[:, here]), seed_for(seed, f"window {number}")
        drawn = sample(model, count, window, spec.calls, its_seed, prompt=part, settings=spec.sampler_settings())
        ids[:, here], fixed[:, here] = drawn.ids, True
        calls, cut = calls + drawn.network_calls, cut + drawn.cut_off_share
    return Samples(ids[:, :length], calls, cut / (more + 1))


def _told(title: str, method: Method, spec: SamplesSpec, drawn: Samples, seconds: float, is_given: bool) -> str:
    """In one line what was drawn, what it took, how, and what the known tokens did."""
    causal, changed = method.needs.causal, spec.greedy_last or spec.sampler_settings().truncation != NO_TRUNCATION
    fidelity = "changed" if changed else "exact" if causal else spec.policy.fidelity
    parts = [
        f"{len(drawn.ids)} x {drawn.ids.shape[1]} tokens by {title}: {drawn.network_calls:,} network calls, "
        f"{seconds / len(drawn.ids):.3g} seconds a sequence",
        f"{spec.label(causal)}, {FIDELITY[fidelity]}",
        f"{drawn.cut_off_share:.1%} of the draws were cut off at 0" if drawn.cut_off_share else "",
        conditioning(method) if is_given else "",
    ]
    return "; ".join(part for part in parts if part)


def conditioning(method: Method) -> str:
    """What known tokens do to those that are drawn."""
    if method.needs.causal:
        return "conditioning is exact: each token is drawn given all before it"
    if is_masked(method):
        return "conditioning is exact: the network sees the known tokens from the start"
    return "known tokens are held at the noise of each time, which is an approximation"


def _pieces(data: Dataset, ids: Tensor, fixed: Tensor) -> list[Piece]:
    """A text in pieces that were given or drawn; in one where a character lies across an edge of bytes."""
    given, counts = fixed.unique_consecutive(return_counts=True)
    parts = [data.decode(part) for part in ids.split(counts.tolist())]
    whole = data.decode(ids)
    return list(zip(parts, given.tolist(), strict=True)) if "".join(parts) == whole else [(whole, False)]


def show(drawn: Drawn) -> None:
    """Prints the texts, what was given in bold on a terminal, and what they took."""
    console = Console(highlight=False, soft_wrap=True)
    for number, pieces in enumerate(drawn.pieces, 1):
        console.print(Text(f"--- {number} of {len(drawn.pieces)}", style="dim"))
        console.print(Text.assemble(*((_visible(text), "bold" if given else "") for text, given in pieces)))
    console.print(Text(f"--- {drawn.told}", style="dim"))
    for warning in drawn.warnings:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"note: {warning}", style="yellow"))


def _visible(text: str) -> str:
    """The text with its control characters as escapes, line ends and tabs apart: no text steers the terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: make_visible(found[0]), text)
