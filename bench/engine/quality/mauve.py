"""MAUVE: how close the features of samples are to those of held-out text (Pillutla et al., arXiv:2102.01454).

Computed by the authors' library (mauve-text), imported on first use. Its value depends on the features, the number of
texts and the number of clusters: only rows that share all three are comparable (see also arXiv:2212.14578).
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

CLUSTERINGS = 3  # k-means seeds that are averaged
SCALE = 5.0  # the constant c of the paper, the library's default
POINTS = 25  # on the divergence curve, the library's default

Histogram = NDArray[np.float64]


def mauve(texts: Tensor, held_out: Tensor, seed: int) -> Estimate:
    """Return MAUVE, 0..1, of features [n, W] of samples and [m, W] of held-out text; higher is closer.

    Uses the library's defaults: features of unit length, PCA to 90 % of the variance, min(n, m) / 10 clusters by
    k-means. The seed of k-means moves the value as much as redrawn samples do (krishnap25/mauve, issue 11), so it is
    the mean over `CLUSTERINGS` seeds; `monte_carlo_error` is the error that remains. `standard_error` adds the
    jackknife over texts within each clustering: clustering anew without some texts would mistake the noise of the seed
    for that of the texts. The held-out text is taken as given.

    The authors advise thousands of texts on each side (5,000 in their paper); with fewer the value is biased and
    depends on n. Raises ValueError with fewer than `FEWEST` texts or if features are not finite, ImportError without
    the library.
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
        result = library.compute_mauve(
            p_features=p,
            q_features=q,
            seed=seed_for(seed, f"mauve {clustering}") % 2**30,
            mauve_scaling_factor=SCALE,
            divergence_curve_discretization_size=POINTS,
        )
        values.append(float(result.mauve))
        errors.append(_jackknife(library, result.p_hist, result.q_hist, len(texts)))
    noise = float(np.std(values, ddof=1)) / math.sqrt(CLUSTERINGS)
    over_texts = float(np.square(errors).mean())
    return Estimate(float(np.mean(values)), math.sqrt(over_texts + noise**2), noise, len(texts))


def _jackknife(library: ModuleType, p: Histogram, q: Histogram, n: int) -> float:
    """Return the leave-one-out standard error over texts, in fixed clusters: only the cluster of a text matters."""
    counts = np.rint(p * n)
    occupied = np.flatnonzero(counts)
    values = np.array([_area(library, (counts - (np.arange(len(p)) == k)) / (n - 1), q) for k in occupied])
    weights = counts[occupied] / n
    mean = (weights * values).sum()
    return math.sqrt((n - 1) * float((weights * (values - mean) ** 2).sum()))


def _area(library: ModuleType, p: Histogram, q: Histogram) -> float:
    """Return MAUVE of two histograms: the area under the divergence curve, averaged over its two directions."""
    weights = np.linspace(1e-6, 1 - 1e-6, POINTS)
    x, y = library.get_divergence_curve_for_multinomials(p, q, weights, SCALE).T
    by_x, by_y = np.argsort(x), np.argsort(y)
    return float(np.trapezoid(y[by_x], x[by_x]) + np.trapezoid(x[by_y], y[by_y])) / 2


def _library() -> ModuleType:
    """Import the module that computes MAUVE and its divergence curve."""
    try:
        return import_module("mauve.compute_mauve")
    except ImportError as error:
        raise ImportError(
            f'MAUVE needs the mauve library ({error}): pip install "diffusion-bench[quality]", or set '
            "evaluation.quality.mauve to false"
        ) from error
