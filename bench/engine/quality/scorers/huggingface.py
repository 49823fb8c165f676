"""A causal language model of Hugging Face as a scorer, with its own tokenizer, in float32.

A start token precedes each text, so that every token of the text is scored, the first one included. Perplexities that
leave out the first token, or that score tokens after the end of a text, are not comparable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.engine.invalid_setting import ScorerError
from bench.engine.quality.scorers.scorer import TextScores, windows
from methods.method import Tokens

EXTRA = 'pip install "diffusion-bench[quality]"'


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a text that fits the context of the model."""

    text: int  # index of the text
    ids: Tensor  # [N]
    new: int  # first position of the window that no earlier window has scored, at least 1
    is_last: bool  # whether it is the last window of its text


class HuggingFaceScorer:
    """An AutoModelForCausalLM with its tokenizer; code shipped with the model is never run."""

    def __init__(
        self,
        model: str | Path,
        revision: str | None,
        device: torch.device,
        name: str,
        batch: int = 8,
        context: int | None = None,
    ):
        """Load a folder, or a model of the hub if `revision` is given. Raises ScorerError."""
        self.name, self.device, self.batch = name, device, batch
        self.tokenizer, self.model = _load(model, revision, name)
        self.model.float().eval().to(device)
        _check_vocabulary(self.tokenizer, self.model, name)
        self.start = _start(self.tokenizer, name)
        self.context = _context(self.model, context, name)
        commit = getattr(self.model.config, "_commit_hash", None)
        exact = f" (commit {commit})" if revision and commit and commit != revision else ""
        self.protocol = (
            f"nats under {name}{exact} in float32, texts in its own tokens, all of them scored after the start token "
            f"{self.tokenizer.convert_ids_to_tokens(self.start)}; at most {self.context:,} tokens at once, beyond that "
            "in windows that overlap by half; features: its last layer at the last token"
        )

    def encode(self, text: str) -> Tensor:
        """Return the start token and the tokens of `text` [N]; names of special tokens in it are plain text.

        Raises ScorerError if the tokenizer has no token for a part of the text.
        """
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        if (unknown := self.tokenizer.unk_token_id) is not None and unknown in ids:
            problem = f"scorer {self.name} is of another vocabulary: it has no token for a part of {text[:40]!r}"
            raise ScorerError("model", f"{problem}; name a scorer that reads such text")
        return torch.tensor([self.start, *ids])

    @torch.no_grad()
    def score(self, texts: Sequence[str], ids: Tokens) -> TextScores:
        """Score every token of each text; an empty text has 0 nats, 0 tokens and the features of the start token.

        Raises ScorerError on values that are not finite.
        """
        encoded = [self.encode(text) for text in texts]
        parts = [part for index, row in enumerate(encoded) for part in self._windows(index, row)]
        parts.sort(key=lambda part: len(part.ids))  # minimizes padding
        nats, features = torch.zeros(len(texts), dtype=torch.float64), [torch.empty(0)] * len(texts)
        for first in range(0, len(parts), self.batch):
            batch = parts[first : first + self.batch]
            for part, scores, hidden in zip(batch, *self._run([part.ids for part in batch]), strict=True):
                end, targets = len(part.ids), part.ids[part.new :].to(self.device)
                losses = F.cross_entropy(scores[part.new - 1 : end - 1], targets, reduction="none")
                nats[part.text] += losses.double().sum().cpu()
                if part.is_last:
                    features[part.text] = hidden[end - 1].cpu()
        if not nats.isfinite().all():
            raise ScorerError("model", f"scorer {self.name} gives nats that are not finite; its weights are broken")
        return TextScores(nats, torch.tensor([len(row) - 1 for row in encoded]), torch.stack(features))

    def _windows(self, index: int, ids: Tensor) -> list[Window]:
        """Return the windows of a text; its start token is not scored."""
        return [
            Window(index, ids[start:end], max(new, 1) - start, end == len(ids))
            for start, end, new in windows(len(ids), self.context)
        ]

    def _run(self, rows: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return scores [B, N, V] and last hidden states [B, N, W] of rows of ids, padded at the end."""
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        mask = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        output = self.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True, use_cache=False)
        return output.logits, output.hidden_states[-1]


def _load(model: str | Path, revision: str | None, name: str) -> tuple[Any, Any]:
    """Load the tokenizer and the model. Raises ScorerError if either is incomplete."""
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise ScorerError("kind", f"scorer {name} needs transformers, which is not installed: {EXTRA}") from None
    if revision is None and not Path(model).is_dir():
        advice = "for a model of the Hugging Face hub give its revision, a commit or a tag"
        raise ScorerError("model", f"scorer {name}: there is no folder {model}; {advice}")
    options: dict[str, Any] = {"revision": revision} if revision else {"local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(model), **options)
        loaded, info = AutoModelForCausalLM.from_pretrained(str(model), output_loading_info=True, **options)
    except Exception as error:  # transformers raises whatever damaged bytes, or the network, lead it to
        advice = (
            "check its name and revision, and that the hub can be reached, or name a folder that it was saved to"
            if revision
            else f"{model} is not a whole model with its tokenizer; copy it again"
        )
        reason = " ".join(str(error).split())[:300]
        raise ScorerError(
            "model", f"scorer {name} cannot be loaded ({type(error).__name__}: {reason}); {advice}"
        ) from error
    if missing := sorted([*info["missing_keys"], *map(str, info["mismatched_keys"])]):
        problem = f"{len(missing)} of its weights are not in its files, the first of them {missing[0]}"
        raise ScorerError("model", f"scorer {name}: {problem}; name a whole causal language model")
    return tokenizer, loaded


def _check_vocabulary(tokenizer: Any, model: Any, name: str) -> None:
    """Raise ScorerError unless the model embeds every id of the tokenizer."""
    largest, size = max(tokenizer.get_vocab().values()), model.get_input_embeddings().weight.shape[0]
    if largest >= size:
        problem = (
            f"its tokenizer is of another vocabulary: ids up to {largest:,}, where the model embeds 0..{size - 1:,}"
        )
        raise ScorerError("model", f"scorer {name}: {problem}; give it its own tokenizer")


def _start(tokenizer: Any, name: str) -> int:
    """Return the token that precedes each text: BOS, or EOS for tokenizers without one (such as GPT-2's)."""
    for start in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if start is not None:
            return int(start)
    raise ScorerError("model", f"scorer {name} has neither a BOS nor an EOS token to stand before a text; name another")


def _context(model: Any, context: int | None, name: str) -> int:
    """Return the tokens per window. Raises ScorerError("context") if the model cannot take that many."""
    largest: int | None = getattr(model.config, "max_position_embeddings", None)
    context = largest if context is None else context
    if context is None:
        raise ScorerError("context", f"scorer {name} does not say how many tokens it sees at once; set context")
    if largest is not None and context > largest:
        raise ScorerError("context", f"scorer {name} sees {largest:,} tokens at once, not {context:,}; lower context")
    return context
