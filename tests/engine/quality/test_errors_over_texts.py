"""The errors of what is measured of texts, against their true spread; and MAUVE, whose error has two sources."""

import importlib.util
import math
import sys
from dataclasses import astuple

import numpy as np
import pytest
import torch

from bench.engine.quality import QualitySpec, gen_ppl, gen_ppl_mean, text_metrics
from bench.engine.quality import mauve as mauve_module
from bench.engine.quality.errors_over_texts import jackknife, mean_estimate, pooled_estimate
from bench.engine.quality.mauve import FEWEST, mauve
from bench.engine.quality.ngrams import number_ngrams
from bench.engine.quality.text_statistics import distinct, divergence
from tests.support.letters import draw

needs_mauve = pytest.mark.skipif(importlib.util.find_spec("mauve") is None, reason="the mauve library is not there")


# Errors.


def test_the_error_of_a_mean_is_its_standard_error_and_one_text_has_none():
    assert mean_estimate(np.array([1.0, 3.0])).standard_error == pytest.approx(1.0)
    assert math.isnan(mean_estimate(np.array([1.0])).standard_error)
    assert math.isnan(jackknife(lambda rows: 1.0, 1))
    assert math.isnan(
        text_metrics(torch.zeros(1, 16).long(), torch.zeros(1, 16).long(), np.zeros(20, np.uint8), QualitySpec(), 1)[
            "js_2"
        ].standard_error
    )


@pytest.mark.parametrize("n", [2, 7, 20, 40, 47])
def test_the_jackknife_of_a_mean_is_its_standard_error(n):
    """Exactly, where each group is one text; over 2,000 redraws to 3 % where groups are larger or some stay in."""
    values = np.random.default_rng(n).standard_normal((2000, n))
    found = np.array([jackknife(lambda rows, x=x: float(x[rows].mean()), n) for x in values[: 1 if n <= 20 else None]])
    if n <= 20:
        assert found[0] == pytest.approx(values[0].std(ddof=1) / math.sqrt(n))
    else:
        assert math.sqrt((found**2).mean()) == pytest.approx(1 / math.sqrt(n), rel=0.03)


@pytest.mark.parametrize("metric", ["js_1", "js_2"])
@pytest.mark.parametrize("n", [40, 50])
def test_jackknife_errors_are_the_spread_over_redrawn_texts(metric, n):
    """Texts that lean to sides of their own, so that tokens are not independent; to 25 %: four errors of the spread of
    150 redraws, which is known to 6 %."""
    claimed, spread = claimed_and_seen(metric, n, draw(200, 24, 4, seed=10_000))
    assert claimed == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize("metric", ["distinct_2", "js_1", "js_2"])
def test_jackknife_errors_of_pairs_are_no_smaller_than_the_spread(metric):
    """Rare n-grams, and texts of the held-out law: the jackknife's variance may be twice the true one, not below it."""
    claimed, spread = claimed_and_seen(metric, 40, draw(2000, 24, 6, seed=10_000, tilt=1.0))
    assert 0.85 < claimed / spread < math.sqrt(2) * 1.25, (claimed, spread)


def claimed_and_seen(metric, n, others):
    """The jackknife error of a metric of n texts, and the spread of its value over 150 redraws of them."""

    def estimated(seed):
        vocab = 40 if metric.startswith("distinct") else 6  # of 6 tokens all bigrams would be seen each time
        grams, real = number_ngrams(int(metric[-1]), draw(n, 24, vocab, seed, tilt=1.0), others)
        return distinct(grams) if metric.startswith("distinct") else divergence(grams, real)

    found = [estimated(seed) for seed in range(150)]
    claimed = math.sqrt(np.mean([each.standard_error**2 for each in found]))
    return claimed, np.std([each.value for each in found], ddof=1)


def test_the_error_of_generative_perplexity_is_its_spread_over_redraws():
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(10, 40, (400, 60)))
    nats = torch.from_numpy(rng.normal(2.0, 0.3, (400, 60))) * tokens
    for metric in (gen_ppl, gen_ppl_mean):
        found = [metric(nats[i], tokens[i]) for i in range(400)]
        claimed = math.sqrt(np.mean([each.standard_error**2 for each in found]))
        assert claimed == pytest.approx(np.std([each.value for each in found]), rel=0.12)  # known to 3.5 %


@pytest.mark.parametrize("n", [2, 21, 47, 1000])
def test_the_jackknife_takes_the_number_of_texts_for_no_spread(n):
    assert jackknife(lambda rows: float(len(rows)), n) == 0


def test_pooled_gives_the_statistic_of_all_texts():
    assert astuple(pooled_estimate(lambda rows: float(len(rows)), 5)) == (5.0, 0.0, 0.0, 5, 0)


# MAUVE.


def features(count, seed, shift=0.0, width=8):
    centres = np.random.default_rng(99).standard_normal((4, width)) * 3
    rng = np.random.default_rng(seed)
    return torch.from_numpy(centres[rng.integers(0, 4, count)] + rng.standard_normal((count, width)) + shift).float()


@needs_mauve
def test_mauve_is_near_one_for_one_law_and_near_zero_for_far_ones():
    texts, held_out = features(300, 0), features(300, 1)
    near, far = mauve(texts, held_out, 0), mauve(texts, held_out + torch.tensor([50.0, -50] * 4), 0)
    assert near.value > 0.9
    assert far.value < 0.05
    assert (near.n, near) == (300, mauve(texts, held_out, 0))
    assert mauve(texts, texts, 0).value == pytest.approx(1)
    assert mauve(texts, held_out, 1).value != near.value


@needs_mauve
def test_the_jackknife_of_mauve_leaves_out_each_text_in_fixed_clusters():
    library = mauve_module._library()
    found = library.compute_mauve(p_features=features(120, 0, 0.5).numpy(), q_features=features(150, 1).numpy(), seed=3)
    assert mauve_module._area(library, found.p_hist, found.q_hist) == pytest.approx(found.mauve)
    labels = np.repeat(np.arange(len(found.p_hist)), np.rint(found.p_hist * 120).astype(int))

    def statistic(rows):
        kept = np.bincount(labels[rows], minlength=len(found.p_hist)) / len(rows)
        return mauve_module._area(library, kept, found.q_hist)

    claimed = mauve_module._jackknife(library, found.p_hist, found.q_hist, 120)
    assert claimed == pytest.approx(jackknife(statistic, 120, groups=120))


@needs_mauve
def test_the_error_of_mauve_is_its_spread_over_redrawn_texts():
    """To a factor 1.6: clusters move with the texts, which the jackknife in fixed clusters does not see."""
    held_out = features(200, 1000, shift=0.5)
    found = [mauve(features(200, seed), held_out, seed) for seed in range(30)]
    spread = np.std([each.value for each in found], ddof=1)
    claimed = math.sqrt(np.mean([each.standard_error**2 for each in found]))
    assert 1 / 1.6 < claimed / spread < 1.6, (claimed, spread)


def test_mauve_of_few_texts_or_of_broken_features_is_refused():
    few, many = features(FEWEST - 1, 0), features(FEWEST, 1)
    for pair in ((few, many), (many, few)):
        with pytest.raises(ValueError, match=f"below {FEWEST} of each"):
            mauve(*pair, 0)
    with pytest.raises(ValueError, match="not all finite"):
        mauve(many, many * math.nan, 0)


def test_without_the_library_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mauve.compute_mauve", None)
    with pytest.raises(ImportError, match=r'pip install "diffusion-bench\[quality\]"'):
        mauve(features(FEWEST, 0), features(FEWEST, 1), 0)
