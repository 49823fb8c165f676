"""Data: a source gives clean ids in three splits, a vocabulary, a decoder, a count of bytes and a fingerprint.

`facts(spec, base)` reads and checks a source, `foresee` fetches nothing for it; `load(spec, base, cache)` also maps its
ids into memory.
"""

from bench.data.chain import Chain
from bench.data.dataset import Dataset, load
from bench.data.describe import Facts, facts, foresee
from bench.data.errors import DataError
from bench.data.source import Source
from bench.data.spec import LABELLED, SOURCES, DataSpec

__all__ = [
    "LABELLED",
    "SOURCES",
    "Chain",
    "DataError",
    "DataSpec",
    "Dataset",
    "Facts",
    "Source",
    "facts",
    "foresee",
    "load",
]
