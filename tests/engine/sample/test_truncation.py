"""What cuts off the law of drawn tokens, and what that leaves as it was."""

import pytest
import torch

from bench.certify.sampler_checks import fit_law, text_indices
from bench.engine.rng import Stream
from bench.engine.sample.policies.remasking import SelfCorrect
from bench.engine.sample.sampler import SamplerSettings, Truncation, refusal, sample
from bench.engine.sample.state import Prompt, SamplerState
from methods import build
from methods.discrete.d3pm import D3pmAbsorb
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.schedules import Cosine
from tests.engine.model.test_network import random_model
from tests.support.toys import L, V, model

# --- what cuts off the law of drawn tokens


TRUNCATIONS = [Truncation(0.7), Truncation(top_k=2), Truncation(top_p=0.6), Truncation(1.5, 2, 0.9)]
MASKS = [Mdlm(V), Md4(V, Cosine()), Mdlm(V, zero_masking=False), SeddAbsorb(V), GenMd4(V), D3pmAbsorb(V, hybrid=0.0)]


@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=repr)
@pytest.mark.parametrize("method", MASKS, ids=lambda method: type(method).__name__)
def test_the_tokens_of_a_prediction_are_truncated_and_their_mass_stays(method, truncation):
    """The mass of SEDD's guesses is not one, and others leave some on the mask."""
    made, t = model(method, seed=3), torch.tensor(0.5, dtype=torch.float64)
    walks = [SamplerState(made, Prompt.empty(4, L), Stream(0), each) for each in (Truncation(), truncation)]
    with torch.no_grad():
        ((_, _, _, whole),), ((_, _, _, cut),) = (walk.predict(t) for walk in walks)
    total = whole[:, :V].logsumexp(-1, keepdim=True)
    assert len(whole) == 4 * L
    assert isinstance(method, SeddAbsorb) == bool((whole.logsumexp(-1).abs() > 1e-6).any())
    torch.testing.assert_close(cut[:, :V].logsumexp(-1, keepdim=True), total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((cut[:, :V] - total).exp(), truncation.apply(whole[:, :V] - total).exp())
    assert torch.equal(cut[:, V:], whole[:, V:].double())


def test_truncated_draws_follow_the_truncated_law():
    made, truncation = model(Mdlm(V), seed=3), Truncation(0.7, 2)
    drawn = sample(made, 2**14, L, 1, 0, settings=SamplerSettings(1, truncation=truncation))
    guess = truncation.apply(made.network.table[-1].detach().log_softmax(-1)).exp()  # of the text that is all masks
    assert (guess == 0).sum() == L
    law = (guess[0][:, None] * guess[1]).flatten()
    assert abs(fit_law(torch.bincount(text_indices(drawn.ids, V), minlength=V**L), law).z_score) < 4
    assert torch.equal(drawn.ids, sample(made, 2**14, L, 1, 0, settings=SamplerSettings(1, truncation=truncation)).ids)


def test_the_temperature_of_vectors_is_that_of_the_noise_and_ends_with_the_texts():
    """How it alters the guess is held against the authors' code in tests/reference/test_reference_plaid.py."""
    made = random_model("plaid")
    first = sample(made, 8, 6, 12, 0).ids
    cold = sample(made, 8, 6, 12, 0, settings=SamplerSettings(12, truncation=Truncation(0.5))).ids
    assert made.method.score_temperature == 0.5
    assert not torch.equal(first, cold)
    assert torch.equal(first, sample(made, 8, 6, 12, 0).ids)
    method, z, t = made.method, torch.randn(3, 16).double(), torch.full((3,), 0.4).double()
    prediction = torch.randn(3, 5).double().log_softmax(-1)
    noises = []
    for method.score_temperature in (1.0, 0.5):
        alpha, sigma = method.levels(t)
        noises.append((z - alpha * method.sharpened(z, t, prediction)) / sigma)
    torch.testing.assert_close(noises[1], 2 * noises[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "how", "reason"),
    [
        (
            "plaid",
            SamplerSettings(4, truncation=Truncation(top_k=2)),
            "no tokens that top_k or top_p could be applied to",
        ),
        (
            "plaid",
            SamplerSettings(4, truncation=Truncation(0.9, top_p=0.5)),
            "no tokens that top_k or top_p could be applied to",
        ),
        (
            "gidd",
            SamplerSettings(4, truncation=Truncation(0.9)),
            "no tokens that a temperature, top_k or top_p could be applied to",
        ),
        ("d3pm-absorb", SamplerSettings(4, truncation=Truncation(0.9)), None),
        ("udlm", SamplerSettings(4, truncation=Truncation(top_k=2)), "no tokens that a temperature"),
        ("ar", SamplerSettings(4, greedy_last=True), "has no last guess; top_k 1 writes the likeliest tokens"),
        ("plaid", SamplerSettings(4, truncation=Truncation(0.9)), None),
        ("mdlm", SamplerSettings(4, truncation=Truncation(0.9, 2, 0.9), greedy_last=True), None),
        ("ar", SamplerSettings(4, truncation=Truncation(0.9, 2, 0.9)), None),
    ],
)
def test_what_cannot_be_cut_off_is_refused(name, how, reason):
    told = refusal(build(name, V), how, L)
    assert told is None if reason is None else reason in (told or "")


@pytest.mark.parametrize(
    "method", [Mdlm(V), SeddAbsorb(V), Gidd(V, 0.3), Udlm(V)], ids=lambda each: type(each).__name__
)
def test_a_greedy_last_guess_is_the_likeliest_token_and_alters_no_other_draw(method):
    made, shown = model(method, seed=2), []
    made.network.register_forward_pre_hook(lambda _, given: shown.append(given[0].clone()))
    samples = sample(made, 50, L, 1, 0, settings=SamplerSettings(1, greedy_last=True))
    z, t = shown[0], torch.ones(50, dtype=torch.float64)
    ids = z.clone()
    with torch.no_grad():
        hidden = made.hidden(z, t)
        for rows in made.chunks(z):
            prediction = made.predict(hidden, z, t, rows)
            ids[rows] = method.last_guess(z[rows], t[rows[0]], prediction).argmax(-1)
    assert torch.equal(samples.ids, ids)
    assert not torch.equal(sample(made, 50, L, 1, 0).ids, ids)
    shown.clear()
    sample(made, 50, L, 4, 0, settings=SamplerSettings(4, greedy_last=True))
    half = len(shown)
    sample(made, 50, L, 4, 0)
    assert torch.equal(torch.cat(shown[:half]), torch.cat(shown[half:]))


def test_corrections_start_from_the_greedy_last_guess():
    made, shown = model(Gidd(V, 0.3), seed=2), []
    made.network.register_forward_pre_hook(lambda _, given: shown.append(given[0].clone()))
    sample(made, 50, L, 5, 0, settings=SamplerSettings(5, SelfCorrect(corrections=3), greedy_last=True))
    assert torch.equal(shown[2], sample(made, 50, L, 2, 0, settings=SamplerSettings(2, greedy_last=True)).ids)
