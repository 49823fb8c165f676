"""Texts of letters, given or random, for several tests."""

import numpy as np


def ids(*rows):
    return np.array([[ord(c) - ord("a") for c in row] for row in rows])


def draw(count, length, vocab=5, seed=0, tilt=0.0):
    """Random texts of independent tokens; `tilt` makes the letter frequencies differ between texts."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((count, 1, vocab)) * tilt + rng.gumbel(size=(count, length, vocab))
    return logits.argmax(-1)


def substrings(text, order):
    return [tuple(text[i : i + order]) for i in range(len(text) - order + 1)]
