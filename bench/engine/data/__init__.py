"""Data: a source gives token ids in three splits, a tokenizer and a fingerprint.

`summarize(spec, base)` reads and checks a source; `preview` does so without downloading anything; `load(spec, base,
cache)` also maps the ids into memory.
"""

from bench.engine.data.dataset import Dataset, load
from bench.engine.data.inspection import preview, summarize
from bench.engine.data.markov_chain import Chain
from bench.engine.data.source import Source
from bench.engine.data.source_registry import LABELLED, SOURCES, DataSpec
from bench.engine.data.source_summary import DataSummary
from bench.engine.invalid_setting import DataError

__all__ = [
    "LABELLED",
    "SOURCES",
    "Chain",
    "DataError",
    "DataSpec",
    "DataSummary",
    "Dataset",
    "Source",
    "load",
    "preview",
    "summarize",
]
