"""Data: a source gives clean ids in three splits, a vocabulary, a decoder, a count of bytes and a fingerprint.

`facts(spec, base)` reads and checks a source, `foresee` fetches nothing for it; `load(spec, base, cache)` also maps its
ids into memory.
"""

from bench.engine.data.dataset import Dataset, load
from bench.engine.data.settings import LABELLED, SOURCES, DataSpec
from bench.engine.data.source import Source
from bench.engine.data.sources.chain import Chain
from bench.engine.data.summary import Facts, facts, foresee
from bench.engine.errors import DataError

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
