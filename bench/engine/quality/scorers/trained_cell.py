"""A trained autoregressive cell as a scorer: it reads the ids of the samples, so its nats are exact."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor

from bench.engine import storage
from bench.engine.data import Dataset, DataSpec
from bench.engine.data.source_summary import summarize_corpus
from bench.engine.data.tokenizers.tokenizer import CharacterTokenizer, Tokenizer
from bench.engine.invalid_setting import ScorerError
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.model.positions import in_sequences
from bench.engine.model.registered_method import check_registered
from bench.engine.quality.scorers.scorer import TextScores, windows
from bench.engine.quality.scorers.settings import check_trained
from bench.engine.records import Job
from methods import PluginError, build
from methods.method import Tokens

LISTED = 100  # the largest vocabulary that an error spells out


class CellScorer:
    """The EMA weights of a cell of an exact, left-to-right method, in float32 on every device."""

    def __init__(self, folder: Path, data: Dataset, device: torch.device, name: str, batch: int = 64):
        """Raises ScorerError unless the cell is trained, exact, and shares the tokenizer of `data`, the suite's."""
        check_trained(folder)
        job = storage.read_job(folder)
        assert job is not None, folder
        self.name, self.device, self.batch = name, device, batch
        try:
            check_tokenizer(folder, job, data)
            self.model = load(folder, job).to(device).eval()
        except ScorerError:
            raise
        except (ValueError, RuntimeError) as error:  # torch raises these for weights of another shape
            raise ScorerError("path", f"cell {folder.name} cannot score: {error}") from error
        self.context = int(job.data["length"])
        self.protocol = (
            f"exact nats under {name} in float32, all tokens scored; at most {self.context:,} tokens at once, beyond "
            "that in windows that overlap by half; features: its last layer where it predicts the last token"
        )

    @torch.no_grad()
    def score(self, texts: Sequence[str], ids: Tokens) -> TextScores:
        """Return -log p of each row of ids [n, L], and the hidden state that has read all tokens but the last.

        Raises ScorerError on values that are not finite.
        """
        assert ids.dim() == 2, f"expected [n, L], got {tuple(ids.shape)}"
        parts = [self._score(batch.to(self.device)) for batch in ids.split(self.batch)]
        nats, features = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
        if not nats.isfinite().all():
            raise ScorerError("path", f"scorer {self.name} gives nats that are not finite; train it again")
        return TextScores(nats, torch.full((len(ids),), ids.shape[1]), features)

    def _score(self, x: Tokens) -> tuple[Tensor, Tensor]:
        """Return nats [B] and features [B, W] of x [B, L], window by window."""
        t = torch.ones(len(x), dtype=torch.float64, device=x.device)
        nats = torch.zeros_like(t)
        for start, end, new in windows(x.shape[1], self.context):
            part = x[:, start:end]
            with in_sequences(self.model.method, part):
                costs = self.model.costs(self.model.method.bound, part, part, t) + self.model.method.prior_gap(part)
            nats += costs[:, new - start :].sum(-1)
        return nats, self.model.hidden(part, t)[:, -1].float()


def check_tokenizer(folder: Path, job: Job, data: Dataset) -> None:
    """Raise ScorerError unless the cell has the tokenizer of `data`; reads its text if fingerprints differ."""
    if job.fingerprint == data.summary.fingerprint:  # which covers the tokenizer
        return
    spec = TypeAdapter(DataSpec).validate_python(job.data)
    corpus = spec.corpus(Path(job.base))
    if summarize_corpus(spec, corpus).fingerprint != job.fingerprint:
        problem = f"the data of source {spec.source} changed since cell {folder.name} was trained on them"
        raise ScorerError("path", f"{problem}; train it again")
    if corpus.tokenizer.name != data.tokenizer.name:
        theirs, ours = describe_tokenizer(corpus.tokenizer), describe_tokenizer(data.tokenizer)
        problem = f"cell {folder.name} was trained on another vocabulary: {theirs}, where the suite's has {ours}"
        raise ScorerError("path", f"{problem}; name a scorer of the same data source")


def describe_tokenizer(tokenizer: Tokenizer) -> str:
    """Describe the tokens of a tokenizer."""
    if not isinstance(tokenizer, CharacterTokenizer):
        return f"{tokenizer.size} {tokenizer.level}s"
    listed = f" {tokenizer.symbols!r}" if tokenizer.size <= LISTED else ""
    return f"{tokenizer.size} symbols{listed}"


def load(folder: Path, job: Job) -> Model:
    """Load the model with its EMA weights. Raises ScorerError, or ValueError or RuntimeError if it is damaged."""
    try:
        check_registered(job)
    except PluginError as error:
        raise ScorerError("path", f"cell {folder.name} cannot score: {error}") from error
    method = build(job.method, job.vocab_size, **job.options)
    if not (method.exact and method.needs.causal):
        problem = f'cell {folder.name} is of method "{job.method}", whose likelihood is a bound'
        raise ScorerError("path", f"{problem}; name a cell of method ar")
    state = checkpoint.load(folder / "train")
    if state is None:
        problem = f"{folder / 'train' / checkpoint.NAME} is missing"
        raise ScorerError("path", f"cell {folder.name} cannot score: {problem}; remove train/ to train it again")
    model = Model(method, Shape(**job.network), job.vocab_size, "sdpa")
    model.load_state_dict(state["ema"])
    return model
