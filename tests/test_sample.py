"""Drawing: the categorical primitive, the noise that methods add, and the loop."""

import math

import pytest
import torch

from bench.rng import Stream
from bench.sample import grid, sample
from methods import build
from methods.absorbing import Md4, Mdlm
from methods.d3pm import D3pmAbsorb, D3pmUniform
from methods.gidd import Gidd
from methods.method import draw
from methods.schedules import Cosine, LinearSigma
from methods.uniform import Udlm
from tests.test_bound import real_model
from tests.toys import LAW, L, V, bayes, model, sampler_law


def chi_square(counts: torch.Tensor, law: torch.Tensor) -> tuple[float, float]:
    """The statistic and four standard deviations above its mean, which is the number of free classes."""
    expected = law * counts.sum()
    free = len(law) - 1
    return float(((counts - expected) ** 2 / expected).sum()), free + 4 * math.sqrt(2 * free)


def test_draws_follow_their_probabilities_rare_ones_too():
    law = torch.tensor([0.5, 0.3, 0.1, 0.05, 0.03, 0.0195, 3e-4, 2e-4], dtype=torch.float64)
    law /= law.sum()
    drawn = draw((law.log() + 7.0).expand(2**17, -1), Stream(0))  # rows need not be normalised
    statistic, limit = chi_square(torch.bincount(drawn, minlength=8), law)
    assert statistic < limit


@pytest.mark.parametrize(
    "method",
    [
        Mdlm(V),
        Md4(V, Cosine()),
        Mdlm(V, zero_masking=False),
        Mdlm(V, carry_over=False),
        Mdlm(V, LinearSigma()),
        Udlm(V, LinearSigma()),
        Gidd(V, 0.3),
        D3pmAbsorb(V, steps=8),
        D3pmUniform(V, steps=8),
    ],
    ids=lambda method: type(method).__name__.lower(),
)
def test_the_loop_draws_from_the_law_that_its_steps_compose(method):
    """20,000 texts of an arbitrary network against the law computed by matrix products."""
    made = model(method, seed=2)
    drawn = sample(made, 20_000, L, calls=4, seed=0)
    with torch.no_grad():
        law = sampler_law(made, grid(method, 4).tolist())
    counts = torch.bincount(drawn.ids[:, 0] * V + drawn.ids[:, 1], minlength=V**L)
    statistic, limit = chi_square(counts, law / law.sum())
    assert statistic < limit
    assert drawn.network_calls == 4


def test_with_the_true_posterior_and_many_calls_the_samples_follow_the_law():
    drawn = sample(bayes(Mdlm(V)), 4000, L, calls=60, seed=0)  # what 60 steps are off by is below the noise of 4,000
    counts = torch.bincount(drawn.ids[:, 0] * V + drawn.ids[:, 1], minlength=V**L)
    statistic, limit = chi_square(counts, LAW)
    assert statistic < limit


def test_a_causal_method_writes_from_left_to_right_by_its_own_law():
    made = real_model("ar")
    drawn = sample(made, 4000, 3, calls=999, seed=0)
    assert drawn.network_calls == 3
    start = torch.zeros(1, 1, dtype=torch.long)
    with torch.no_grad():
        first = made.network.head(made.hidden(start, torch.ones(1)))[0, 0].softmax(-1)
        prefix = torch.tensor([[2, 0]])
        second = made.network.head(made.hidden(prefix, torch.ones(1)))[0, 1].softmax(-1)
    statistic, limit = chi_square(torch.bincount(drawn.ids[:, 0], minlength=5), first)
    assert statistic < limit
    after = drawn.ids[drawn.ids[:, 0] == 2, 1]
    assert len(after) > 50
    statistic, limit = chi_square(torch.bincount(after, minlength=5), second)
    assert statistic < limit


def test_no_mask_is_left_in_a_text():
    for options in ({}, {"zero_masking": False}, {"carry_over": False, "zero_masking": False}, {"steps": 4}):
        drawn = sample(model(Mdlm(V, **options)), 200, L, calls=3, seed=1)
        assert drawn.ids.max() < V


def test_the_grid_runs_from_noise_to_the_last_guess():
    times = grid(build("mdlm", V), 5)
    assert (times[0], times[-1], len(times)) == (1.0, 1e-3, 5)
    assert grid(build("mdlm", V), 1).tolist() == [1.0]
    assert (grid(build("mdlm", V, steps=8), 3) * 8).tolist() == [8, 4, 1]
    assert (grid(build("mdlm", V, steps=4), 4) * 4).tolist() == [4, 3, 2, 1]
    with pytest.raises(ValueError, match="5 calls are more than the 4 that 4 steps of time allow"):
        grid(build("mdlm", V, steps=4), 5)
