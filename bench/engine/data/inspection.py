"""What a look at the whole text shows beyond its sizes: contamination, repetition and odd characters.

No number of a cell depends on it, so that workers, which only `load` the data, do without it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.engine.data.characters import count_suspects
from bench.engine.data.contamination import find_sequences
from bench.engine.data.source import Corpus, Source
from bench.engine.data.source_summary import DataSummary, count_tokens, summarize_corpus, summarize_sizes
from bench.engine.data.tokenizers.tokenizer import Ids

SPLIT_NAMES = {"valid": "validation", "test": "test"}  # of those that are held out
PASSAGE = 50  # characters that a copy has at least, in the check of GPT-4 (arXiv:2303.08774, appendix C)


def summarize(spec: Source, base: Path) -> DataSummary:
    """Read, check and inspect a source; relative paths start at `base`. Raises DataError.

    Writes nothing, except that a downloaded text is saved in the user's cache.
    """
    corpus = spec.corpus(base)
    summary = inspect(summarize_corpus(spec, corpus), corpus)
    if spec.independent_sequences:  # equal sequences are chance, as the distribution has it
        return summary
    return replace(summary, notes=(*summary.notes, *describe_contamination(summary)))


def preview(spec: Source, base: Path) -> DataSummary:
    """Summarize a source without downloading anything: a text that is not here yet by its published sizes."""
    note = spec.pending_download()
    if note is None:
        return summarize(spec, base)
    text = spec.known_text()
    assert text is not None, f"source {spec.source} fetches a text of which nothing is published"
    summary = summarize_sizes(spec, text.tokenizer, spec.divide(text.tokens), [text.digest.encode()])
    return replace(summary, notes=(*summary.notes, note))


def inspect(summary: DataSummary, corpus: Corpus) -> DataSummary:
    """Return the summary with what stands in its text."""
    splits = corpus.splits
    counts = {name: count_tokens(ids, summary.vocab_size) for name, ids in splits.items()}
    totals = np.sum(list(counts.values()), axis=0)
    of_sequences = _count_overlaps(corpus, summary.length, summary.length)
    is_short = summary.length < PASSAGE and not corpus.chain
    of_passages = _count_overlaps(corpus, summary.length, PASSAGE) if is_short else of_sequences
    return replace(
        summary,
        sequences_in_training=of_sequences["train"],
        passages_in_training=of_passages["train"],
        sequences_in_reserve=of_sequences["reserve"],
        passages_in_reserve=of_passages["reserve"],
        repeated_sequences=of_sequences["itself"],
        repeated_passages=of_passages["itself"],
        unseen_tokens={name: int(counts[name][counts["train"] == 0].sum()) for name in SPLIT_NAMES},
        symbols_seen_once=int((totals == 1).sum()),
        suspect_characters=count_suspects(corpus.tokenizer, splits, totals),
    )


def cut_passages(ids: Ids, length: int, size: int) -> Ids:
    """Return `size` tokens around each of the sequences that are packed without overlap, [N] -> [n, size].

    At the ends of the split passages start or end there; `size` is at most N.
    """
    size = min(size, len(ids))
    starts = np.arange(len(ids) // length) * length - (size - length) // 2
    return np.lib.stride_tricks.sliding_window_view(ids, size)[starts.clip(0, len(ids) - size)]


def _count_overlaps(corpus: Corpus, length: int, size: int) -> dict[str, dict[str, int]]:
    """Count by place and split the passages that occur there; "itself" stands for the split, where they do twice."""
    splits, stride = corpus.splits, corpus.stride
    passages = {name: cut_passages(splits[name], length, size) for name in SPLIT_NAMES}
    counts: dict[str, dict[str, int]] = {"train": {}, "reserve": {}}
    for place in counts.keys() & splits.keys():
        counts[place] = _count_found(passages, splits[place], stride)
    repeated = {name: find_sequences(rows, splits[name], stride, 2) for name, rows in passages.items()}
    return {**counts, "itself": {name: int(flags.sum()) for name, flags in repeated.items()}}


def _count_found(passages: dict[str, Ids], text: Ids, stride: int) -> dict[str, int]:
    """Count by split the passages that are windows of the text, in one search if they are equally long."""
    if len({rows.shape[1] for rows in passages.values()}) > 1:
        return {name: int(find_sequences(rows, text, stride).sum()) for name, rows in passages.items()}
    flags = find_sequences(np.concatenate(list(passages.values())), text, stride)
    ends = np.cumsum([len(rows) for rows in passages.values()])
    return {name: int(part.sum()) for name, part in zip(passages, np.split(flags, ends[:-1]), strict=True)}


def describe_contamination(summary: DataSummary) -> Sequence[str]:
    """Return a sentence if test sequences are also in the text of training, and one for the reserved text."""
    places = {
        "training": (summary.sequences_in_training, summary.passages_in_training),
        "reserved": (summary.sequences_in_reserve, summary.passages_in_reserve),
    }
    sentences = []
    for place, (sequences, passages) in places.items():
        if sequences.get("test"):
            few = f", {passages['test']:,} with {PASSAGE} tokens around" if passages != sequences else ""
            count = f"{sequences['test']:,} of {summary.sequences['test']:,} test sequences"
            sentences.append(f"{count} also occur in the {place} text{few}.")
    return sentences
