"""Characters of a text that are rarely meant to be tokens, and symbols that training hardly shows."""

import re
import unicodedata
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.engine.data.tokenizers.tokenizer import CHUNK, CharacterTokenizer, Ids, Tokenizer

Counts = NDArray[np.int64]

CONTROLS = "".join(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r\f\x85")
SUSPECTS = {  # by singular name: characters that an editor, a download or a decoder leaves in a text
    "carriage return": "\r",
    "byte-order mark": "\ufeff",
    "replacement character": "\ufffd",
    "zero-width space": "\u200b",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "control character": CONTROLS,
}
DECOMPOSED = "decomposed character"


def count_suspects(tokenizer: Tokenizer, splits: Mapping[str, Ids], counts: Counts) -> dict[str, int]:
    """Count the suspect characters of a text by name, without those that do not occur; `counts` are its tokens' [V].

    Decomposed characters, such as e and a combining accent, count only where composed ones occur as well: then one
    character has two spellings.
    """
    totals = {name: _count(characters, tokenizer, splits, counts) for name, characters in SUSPECTS.items()}
    totals[DECOMPOSED] = _count_decomposed(tokenizer, splits, counts)
    return {name: count for name, count in totals.items() if count}


def _count(characters: str, tokenizer: Tokenizer, splits: Mapping[str, Ids], counts: Counts) -> int:
    if isinstance(tokenizer, CharacterTokenizer):
        ids = [tokenizer.symbols.index(character) for character in characters if character in tokenizer.symbols]
        return int(counts[ids].sum())

    codes = [character.encode() for character in characters]
    short = sum(int(counts[code[0]]) for code in codes if len(code) == 1)
    long = [code for code in codes if len(code) > 1 and counts[list(code)].all()]
    return short + (_count_codes(long, splits) if long else 0)


def _count_codes(codes: list[bytes], splits: Mapping[str, Ids]) -> int:
    """Count the occurrences of codes of several bytes that differ in the last one only."""
    (prefix,) = {code[:-1] for code in codes}
    pattern = re.compile(re.escape(prefix) + b"[" + b"".join(re.escape(code[-1:]) for code in codes) + b"]")
    chunks = (
        ids[start : start + CHUNK + len(prefix)].tobytes()
        for ids in splits.values()
        for start in range(0, len(ids), CHUNK)
    )
    return sum(len(pattern.findall(chunk)) for chunk in chunks)


def _count_decomposed(tokenizer: Tokenizer, splits: Mapping[str, Ids], counts: Counts) -> int:
    """Count the characters that normal form C would compose; 0 if the text has no composed ones."""
    if not _may_be_decomposed(tokenizer, counts):
        return 0
    decomposed = sum(max(0, len(text) - len(unicodedata.normalize("NFC", text))) for text in _texts(tokenizer, splits))
    has_composed = any(_is_composed(character) for text in _texts(tokenizer, splits) for character in set(text))
    return decomposed if has_composed else 0


def _may_be_decomposed(tokenizer: Tokenizer, counts: Counts) -> bool:
    """Return False if a look at the vocabulary shows that nothing can be composed."""
    if isinstance(tokenizer, CharacterTokenizer):
        return any(unicodedata.combining(symbol) or "\u1160" <= symbol <= "\u11ff" for symbol in tokenizer.symbols)
    return bool(counts[0x80:].any())


def _texts(tokenizer: Tokenizer, splits: Mapping[str, Ids]) -> Iterator[str]:
    """Yield the chunks of all splits that are not plain ASCII."""
    for ids in splits.values():
        for start in range(0, len(ids), CHUNK):
            text = tokenizer.decode(ids[start : start + CHUNK])
            if not text.isascii():
                yield text


def _is_composed(character: str) -> bool:
    """Return True if the character has a spelling of several characters that normal form C turns back into it."""
    spelled = unicodedata.normalize("NFD", character)
    return spelled != character and unicodedata.normalize("NFC", spelled) == character
