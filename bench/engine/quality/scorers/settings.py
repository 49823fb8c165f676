"""Settings of scorers in a suite: a model that the suite trains, a trained cell, or a model of Hugging Face.

A scorer that is not available is a ScorerError, never replaced by another one.
"""

import hashlib
from abc import abstractmethod
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from bench.engine import storage
from bench.engine.invalid_setting import ScorerError
from bench.engine.model import checkpoint
from bench.engine.settings import Settings
from bench.engine.storage import digest
from bench.engine.written_paths import explain_missing, resolve_path

WEIGHTS = (".safetensors", ".bin")  # suffixes of weight files
OTHERS = (".json", ".model", ".txt")  # suffixes of configuration and tokenizer files
CHUNK = 1 << 22  # bytes that are hashed at once


class ScorerSpec(Settings):
    """Settings of a scorer; a subclass adds its own fields and its name as `kind: Literal[...]`."""

    kind: str

    @abstractmethod
    def name(self, steps: int) -> str:
        """Return a short name, shown beside every number; `steps` are the training steps of the suite's arms."""

    @abstractmethod
    def identity(self, base: Path) -> dict[str, Any]:
        """Return everything that its numbers depend on, for hashing; paths start at `base`. Raises ScorerError."""


class Trained(ScorerSpec):
    """An autoregressive model that the suite trains on the reserved part of training (`data.reserve`)."""

    kind: Literal["trained"] = "trained"
    steps: int | None = Field(None, ge=1)  # null: those of the arms
    seed: int = Field(1_000_003, ge=0)  # of its training run; differs from those of the arms

    def name(self, steps: int) -> str:
        return f"AR of this suite ({self.steps or steps} steps, seed {self.seed})"

    def identity(self, base: Path) -> dict[str, Any]:
        return {"kind": self.kind, "steps": self.steps, "seed": self.seed}


class HuggingFace(ScorerSpec):
    """A causal language model in the format of transformers, from the hub or a local folder."""

    kind: Literal["huggingface"] = "huggingface"
    model: str = Field(min_length=1)  # a name on the hub if there is a revision, such as openai-community/gpt2-large
    revision: str | None = Field(None, min_length=1)  # commit or tag on the hub; null: `model` is a local folder
    batch: int = Field(8, ge=1)  # windows per forward pass; changes no number
    context: int | None = Field(None, ge=2)  # tokens per window; null: the model's maximum

    @model_validator(mode="after")
    def folders_have_no_revision(self) -> "HuggingFace":
        if self.revision is not None and self.model.startswith((".", "/", "~")):
            raise ValueError(f'"{self.model}" is a local folder, which has no revision; leave it out')
        return self

    def folder(self, base: Path) -> Path | None:
        """Return the local folder; None for a model of the hub."""
        return None if self.revision is not None else resolve_path(self.model, base)

    def name(self, steps: int) -> str:
        return f"{self.model}@{self.revision}" if self.revision else f"{Path(self.model).name} (local folder)"

    def identity(self, base: Path) -> dict[str, Any]:
        folder = self.folder(base)
        if folder is None:
            weights: dict[str, Any] = {"model": self.model, "revision": self.revision}
        else:
            if not folder.is_dir():
                advice = "for a model of the Hugging Face hub give its revision, a commit or a tag"
                raise ScorerError("model", f"{explain_missing(self.model, base)}; {advice}")
            weights = {"files": fingerprint(folder)}
        return {"kind": self.kind, **weights, "context": self.context}


class TrainedCell(ScorerSpec):
    """A trained cell of an autoregressive method, of any suite."""

    kind: Literal["cell"] = "cell"
    path: str = Field(min_length=1)  # its folder, RUNS/cells/<id>

    def folder(self, base: Path) -> Path:
        """Return the folder of the cell."""
        return resolve_path(self.path, base).resolve()

    def name(self, steps: int) -> str:
        return f"cell {Path(self.path).name}"

    def identity(self, base: Path) -> dict[str, Any]:
        folder = self.folder(base)
        if not folder.is_dir():
            raise ScorerError("path", f"{explain_missing(self.path, base)}; name a folder RUNS/cells/<id>")
        check_trained(folder)
        job = storage.read_job(folder)
        assert job is not None, folder
        return {
            "kind": self.kind,
            "cell": digest(job.science),
            "weights": hash_files((folder / "train" / checkpoint.NAME,)),
        }


AnyScorer = Annotated[Trained | HuggingFace | TrainedCell, Field(discriminator="kind")]

SCORERS: dict[str, type[ScorerSpec]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(AnyScorer)[0])
}


def fingerprint(folder: Path) -> str:
    """Return the sha256, in hex, of a model's files and their names. Raises ScorerError("model") without weights."""
    files = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS + OTHERS)
    if not any(path.suffix in WEIGHTS for path in files):
        raise ScorerError("model", f"{folder} holds no weights (*{', *'.join(WEIGHTS)}); save a model there")
    return hash_files(tuple(files))


def hash_files(files: tuple[Path, ...]) -> str:
    """Return the sha256, in hex, of files and their names. Raises ScorerError("path") if one is missing."""
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise ScorerError("path", f"{missing[0]} is missing; remove train/ and run its suite again")
    return _hash(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@cache
def _hash(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash files, cached by their sizes and modification times."""
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def check_trained(folder: Path) -> None:
    """Raise ScorerError("path") unless the folder is a cell that has been trained."""
    if not (folder / "job.json").is_file():
        raise ScorerError("path", f"{folder} is no cell (it holds no job.json); name a folder RUNS/cells/<id>")
    state, reason = storage.status(folder, "train")
    if state != "done":
        why = f"its training failed: {reason}" if state == "failed" else f"its training is {state} {reason}".rstrip()
        raise ScorerError("path", f"cell {folder.name} cannot score: {why}; run its suite to the end first")
