"""MAUVE: how near the texts' features lie to those of held-out text (Pillutla et al., arXiv:2102.01454, 2212.14578).

Computed by the authors' library (mauve-text), which is imported when it is asked for. Its value depends on the
features, on the number of texts and on the number of clusters: only rows that share all three can be compared.
"""

import math
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.engine.likelihood.standard_error import Estimate
from bench.engine.quality.settings import FEWEST
from bench.engine.rng import seed_for

CLUSTERINGS = 3  # k-means runs that are averaged
SCALE = 5.0  # the constant c of the paper, as the library has it
POINTS = 25  # on the divergence curve, as the library has it

Histogram = NDArray[np.float64]


def mauve(texts: Tensor, held_out: Tensor, seed: int) -> Estimate:
    """MAUVE, 0..1, of features [n, W] of texts beside [m, W] of held-out text; higher is nearer.

    The library's defaults: features to length 1, PCA to 90 % of the variance, min(n, m) / 10 clusters by k-means. Seeds
    of k-means move the value as much as redrawn texts do (krishnap25/mauve, issue 11), so it is the mean over
    `CLUSTERINGS` of them, and `monte_carlo_error` is what they leave. `standard_error` adds to it the jackknife over
    texts within each clustering: clustered anew without some texts, the seed's noise would pass for the texts'. The
    held-out text is taken as it is.

    The library's authors advise some thousands of texts on each side (5,000 in their paper); with fewer the value is
    biased and moves with n. Raises ValueError below `FEWEST` or where features are not finite, ImportError without the
    library.
    """
    if (fewest := min(len(texts), len(held_out))) < FEWEST:
        raise ValueError(
            f"MAUVE of {len(texts)} texts and {len(held_out)} held-out ones says nothing below {FEWEST} of each "
            f"(here {fewest}), and wants thousands; draw more texts or set evaluation.quality.mauve to false"
        )
    if not (texts.isfinite().all() and held_out.isfinite().all()):
        raise ValueError("features for MAUVE are not all finite")
    library = _library()
    p, q = texts.float().numpy(force=True), held_out.float().numpy(force=True)
    values, errors = [], []
    for clustering in range(CLUSTERINGS):
        found = library.compute_mauve(
            p_features=p,
            q_features=q,
            seed=seed_for(seed, f"mauve {clustering}") % 2**30,
            mauve_scaling_factor=SCALE,
            divergence_curve_discretization_size=POINTS,
        )
        values.append(float(found.mauve))
        errors.append(_jackknife(library, found.p_hist, found.q_hist, len(texts)))
    noise = float(np.std(values, ddof=1)) / math.sqrt(CLUSTERINGS)
    over_texts = float(np.square(errors).mean())
    return Estimate(float(np.mean(values)), math.sqrt(over_texts + noise**2), noise, len(texts))


def _jackknife(library: ModuleType, p: Histogram, q: Histogram, n: int) -> float:
    """The standard error over texts in fixed clusters: one text is left out, which matters by its cluster alone."""
    counts = np.rint(p * n)
    filled = np.flatnonzero(counts)
    values = np.array([_area(library, (counts - (np.arange(len(p)) == k)) / (n - 1), q) for k in filled])
    weights = counts[filled] / n
    mean = (weights * values).sum()
    return math.sqrt((n - 1) * float((weights * (values - mean) ** 2).sum()))


def _area(library: ModuleType, p: Histogram, q: Histogram) -> float:
    """MAUVE of two histograms: the area under the divergence curve, the mean over its two directions."""
    weights = np.linspace(1e-6, 1 - 1e-6, POINTS)
    x, y = library.get_divergence_curve_for_multinomials(p, q, weights, SCALE).T
    by_x, by_y = np.argsort(x), np.argsort(y)
    return float(np.trapezoid(y[by_x], x[by_x]) + np.trapezoid(x[by_y], y[by_y])) / 2


def _library() -> ModuleType:
    """The module that computes MAUVE, for its function and the divergence curve."""
    try:
        return import_module("mauve.compute_mauve")
    except ImportError as error:
        raise ImportError(
            f'MAUVE needs the mauve library ({error}): pip install "diffusion-bench[quality]", or set '
            "evaluation.quality.mauve to false"
        ) from error
