"""Prompts and templates of `bench sample`: text to token ids, with gaps for the tokens to draw."""

import re
from collections.abc import Iterable

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.data.token_names import make_visible
from bench.engine.data.tokenizers.tokenizer import CharacterTokenizer
from methods.method import Tokens

Piece = tuple[str, bool]  # part of a text, and whether the user gave it

LISTED = 100  # the largest vocabulary that an error lists


class PromptError(ValueError):
    """A request for samples that cannot be met."""


def parse_template(template: str) -> list[Piece]:
    r"""Split a template into pieces: each underscore is a token to draw; \_ is an underscore, \\ a backslash."""
    pieces = re.findall(r"(_+)|((?:\\[_\\]|[^_])+)", template)
    return [(gap, False) if gap else (re.sub(r"\\([_\\])", r"\1", text), True) for gap, text in pieces]


def encode(data: Dataset, pieces: Iterable[Piece]) -> tuple[Tokens, Bool[Tensor, " N"]]:
    """The token ids of the pieces, 0 in gaps, and which of them are given.

    Raises PromptError if the vocabulary lacks a character.
    """
    ids, fixed = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, dtype=torch.bool)]
    for text, is_given in pieces:
        if is_given:
            _check_characters(data, text)
            tokens = torch.from_numpy(data.tokenizer.encode(text).astype("int64"))
        else:
            tokens = torch.zeros(len(text), dtype=torch.long)
        ids.append(tokens)
        fixed.append(torch.full(tokens.shape, is_given))
    return torch.cat(ids), torch.cat(fixed)


def _check_characters(data: Dataset, text: str) -> None:
    vocabulary = data.tokenizer
    if not isinstance(vocabulary, CharacterTokenizer):
        return
    unknown = sorted(set(text) - set(vocabulary.symbols))
    if unknown:
        characters = ", ".join(repr(character) for character in unknown)
        alphabet = f"; it has {make_visible(vocabulary.symbols)}" if vocabulary.size <= LISTED else ""
        raise PromptError(f"the vocabulary of source {data.summary.source} has no {characters}{alphabet}")
