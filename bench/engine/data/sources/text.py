"""Running text: the language reference inside CPython, local files, and text8 (mattmahoney.net/dc/textdata)."""

import hashlib
import importlib
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from bench.engine.data.download import cache_folder, fetch
from bench.engine.data.source import Corpus, KnownText, Source, cut, cut_by_share, shares
from bench.engine.data.text_files import find_path, read_text
from bench.engine.data.tokenizers.tokenizer import (
    ByteTokenizer,
    CharacterTokenizer,
    Level,
    Tokenizer,
    find_characters,
)
from bench.engine.invalid_setting import DataError

ALPHABET = CharacterTokenizer(" abcdefghijklmnopqrstuvwxyz")  # of text8
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS = ("train", "valid", "test")
FORMS = "one path, or all of train, valid and test"
TEXT8_CHARACTERS = 100_000_000
TEXT8_SHA1 = "0dc3edebc970dcc96137e7deda4d9995af9d93de"  # as published in dmlc/gluon-nlp
TEXT8_URL = "http://mattmahoney.net/dc/text8.zip"  # 31 MB; its content is verified


class Pydoc(Source):
    """The language reference inside CPython (`pydoc_data.topics`), reduced as text8 is, each paragraph once."""

    source: Literal["pydoc"] = "pydoc"

    def read(self, base: Path) -> Corpus:
        """Split the text 90/5/5 %. Raises DataError("source") if this Python ships without the text."""
        note = f"The text ships with Python {platform.python_version()}; others have another text and fingerprint."
        return Corpus(ALPHABET, cut_by_share(ALPHABET.encode(read_topics())), (note,))


class TextFile(Source):
    """Local files or folders of UTF-8 text: one that is split 90/5/5 %, or one for each split."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["path"]}, {"required": list(SPLITS)}]})

    source: Literal["text-file"] = "text-file"
    path: str | None = Field(default=None, min_length=1)  # file or folder; compressed files are unpacked
    train: str | None = Field(default=None, min_length=1)  # in place of path, a file or folder for each split
    valid: str | None = Field(default=None, min_length=1)
    test: str | None = Field(default=None, min_length=1)
    level: Level = "char"

    def read(self, base: Path) -> Corpus:
        """Read the splits; at level "char" every character of them is a token.

        Raises DataError with the field at fault: "path", or "train", "valid" or "test".
        """
        if self.path is not None and self._own_splits():
            extra = next(iter(self._own_splits()))
            raise DataError(extra, f"path and {extra} are given; give {FORMS}; null removes one that is inherited")
        if self.path is None:
            return self._read_splits(base)

        text = read_text(find_path(self.path, base))
        tokenizer = self._find_tokenizer([text])
        if tokenizer.size < 2:
            raise DataError(
                "path", f"{find_path(self.path, base)}: holds nothing but {text[0]!r}, over and over; give real text"
            )
        return Corpus(tokenizer, cut_by_share(tokenizer.encode(text)))

    def _own_splits(self) -> dict[str, str]:
        """The paths of the splits that have one."""
        paths = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: path for name, path in paths.items() if path is not None}

    def _read_splits(self, base: Path) -> Corpus:
        """Read a text for each split; tokens are the characters of all three."""
        written = self._own_splits()
        if not written:
            raise DataError("path", f"there is no text; give {FORMS}")
        if missing := [name for name in SPLITS if name not in written]:
            verb = "is" if len(missing) == 1 else "are"
            raise DataError("path", f"{' and '.join(missing)} {verb} missing; give {FORMS}")

        paths = {name: find_path(path, base, name) for name, path in written.items()}
        refuse_same(paths)
        texts = {name: read_split(name, path) for name, path in paths.items()}
        tokenizer = self._find_tokenizer(list(texts.values()))
        if tokenizer.size < 2:
            character = texts["train"][0]
            raise DataError(
                "train", f"{paths['train']}: holds nothing but {character!r}, like the others; give real text"
            )
        splits = {name: tokenizer.encode(text) for name, text in texts.items()}
        return Corpus(tokenizer, splits, ("Training, validation and test are texts of their own.",))

    def _find_tokenizer(self, texts: Sequence[str]) -> Tokenizer:
        if self.level == "byte":
            return ByteTokenizer()
        return CharacterTokenizer("".join(sorted(set().union(*(find_characters(text).symbols for text in texts)))))


class Text8(Source):
    """The whole of text8, split 90M/5M/5M: a local file, or downloaded once if no path is given."""

    source: Literal["text8"] = "text8"
    path: str | None = Field(default=None, min_length=1)  # as it is or compressed

    def read(self, base: Path) -> Corpus:
        """Return the standard split. Raises DataError("path" or "source") for any other text."""
        text = read_text8() if self.path is None else read_text8_file(find_path(self.path, base))
        return Corpus(ALPHABET, cut_by_share(ALPHABET.encode(text)))

    def known_text(self) -> KnownText:
        train, valid = shares(TEXT8_CHARACTERS)
        tokens = {"train": train, "valid": valid, "test": TEXT8_CHARACTERS - train - valid}
        return KnownText(ALPHABET, tokens, f"sha1 {TEXT8_SHA1}")

    def pending_download(self) -> str | None:
        if self.path is not None or text8_path().is_file():
            return None
        return f"The text is not here yet: bench run fetches it, 31 MB, from {TEXT8_URL}"


class Text8Part(Source):
    """A part of text8 with its own split; its numbers are not comparable with those of text8."""

    source: Literal["text8-part"] = "text8-part"
    path: str = Field(min_length=1)  # as it is or compressed
    valid: int = Field(default=500_000, gt=0)  # characters before the last `test`
    test: int = Field(default=500_000, gt=0)  # last characters

    def read(self, base: Path) -> Corpus:
        """Split by position. Raises DataError("path"), or DataError("valid") if nothing is left for training."""
        text = read_reduced(find_path(self.path, base))
        train = len(text) - self.valid - self.test
        if train <= 0:
            problem = f"valid {self.valid:,} and test {self.test:,} leave nothing of {len(text):,} characters"
            raise DataError("valid", f"{problem}; lower them")
        note = f"A part of text8 ({len(text):,} characters), split in its own way: not comparable with text8's figures."
        return Corpus(ALPHABET, cut(ALPHABET.encode(text), train, self.valid), (note,))


def read_split(name: str, path: Path) -> str:
    """Read the text of a split. Raises DataError(name)."""
    try:
        return read_text(path)
    except DataError as error:
        raise DataError(name, error.message) from error


def refuse_same(paths: Mapping[str, Path]) -> None:
    """Raise DataError if two splits are the same file or folder."""
    first: dict[Path, str] = {}
    for name, path in paths.items():
        namesake = first.setdefault(path.resolve(), name)
        if namesake != name:
            raise DataError(name, f"{path}: {name} and {namesake} are the same text; give each split a text of its own")


def reduce_text(text: str) -> str:
    """Reduce `text` to the 27 symbols of text8: a-z and single spaces, with digits spelled out."""
    spelled = re.sub(r"[0-9]", lambda digit: f" {DIGITS[int(digit[0])]} ", text)
    return " ".join(re.sub(r"[^a-zA-Z]", " ", spelled).lower().split())


def read_topics() -> str:
    """Return the distinct paragraphs of `pydoc_data.topics`, reduced, in the order of their keys."""
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:
        problem = "this Python ships without pydoc_data.topics"
        raise DataError("source", f"{problem}; use source: text-file with a text of yours") from error
    paragraphs = (paragraph for key in sorted(topics) for paragraph in re.split(r"\n\s*\n", topics[key]))
    return " ".join(filter(None, dict.fromkeys(map(reduce_text, paragraphs))))


def read_reduced(path: Path) -> str:
    """Read the text of `path`. Raises DataError("path") if it has characters other than a-z and space."""
    text = read_text(path)
    strays = set(find_characters(text).symbols) - set(ALPHABET.symbols)
    if strays:
        position = min(text.index(stray) for stray in strays)
        problem = f"{path}: text8 is a-z and space, but character {position:,} is {text[position]!r}"
        raise DataError("path", f"{problem}; use source: text-file")
    return text


def read_text8_file(path: Path) -> str:
    """Read text8 from a local file. Raises DataError("path") for any other text."""
    text = read_reduced(path)
    if (reason := check_text8(text.encode("ascii"))) is not None:
        raise DataError("path", f"{path}: not the whole text8: {reason}; for a part of it use source: text8-part")
    return text


def text8_path() -> Path:
    """Return the path of the downloaded text8."""
    return cache_folder() / "text8"


def read_text8() -> str:
    """Read text8 from the user's cache, downloading it first if it is missing. Raises DataError("source")."""
    path = text8_path()
    if not path.is_file():
        fetch(TEXT8_URL, path, check_text8)
    content = path.read_bytes()
    if (reason := check_text8(content)) is not None:
        raise DataError("source", f"{path}: not the whole text8: {reason}; remove it to have it fetched again")
    return content.decode("ascii")


def check_text8(content: bytes) -> str | None:
    """Return the reason why `content` is not the published text8, or None."""
    if len(content) != TEXT8_CHARACTERS:
        return f"{len(content):,} characters instead of {TEXT8_CHARACTERS:,}"
    sha1 = hashlib.sha1(content).hexdigest()
    return None if sha1 == TEXT8_SHA1 else f"sha1 {sha1} instead of {TEXT8_SHA1}"
