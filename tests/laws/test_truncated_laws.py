"""Temperature, top-k and top-p: by hand, by brute force, and at their edges."""

from itertools import combinations

import pytest
import torch

from bench.engine.sample.autoregressive import Truncation

V, L = 5, 12


LAW = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15], dtype=torch.float64)


def kept(truncation: Truncation, law: torch.Tensor = LAW) -> list[int]:
    """The tokens that may be drawn."""
    return truncation.apply(law.log()).isfinite().nonzero().flatten().tolist()


def test_truncations_by_hand():
    assert kept(Truncation(top_k=2)) == [1, 3]
    assert kept(Truncation(top_p=0.4)) == [1]
    assert kept(Truncation(top_p=0.41)) == [1, 3]
    assert kept(Truncation(top_p=0.7)) == [1, 3]  # reached, up to roundings
    assert kept(Truncation(top_p=0.86)) == [0, 1, 3, 4]
    assert kept(Truncation(top_k=3, top_p=0.8)) == [1, 3]  # 0.7 of 0.85 is more than 0.8
    assert kept(Truncation(temperature=0.5, top_p=0.85)) == [1, 3]  # 0.16 + 0.09 of 0.285
    torch.testing.assert_close(
        Truncation(top_k=3).apply(LAW.log()).exp(), torch.tensor([0, 0.4, 0, 0.3, 0.15]).double() / 0.85
    )
    torch.testing.assert_close(Truncation(temperature=2.0).apply(LAW.log()).exp(), LAW.sqrt() / LAW.sqrt().sum())


def best(law: torch.Tensor, sizes: range, mass: float) -> torch.Tensor:
    """By trying all sets: the smallest whose mass is reached, of these the heaviest; its law."""
    for size in sizes:
        chosen = max(combinations(range(len(law)), size), key=lambda tokens: float(law[list(tokens)].sum()))
        if law[list(chosen)].sum() >= mass:
            break
    inside = torch.zeros_like(law).index_fill(0, torch.tensor(chosen), 1)
    return inside * law / (inside * law).sum()


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("top_k", [None, 1, 3, 6, 99])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.3, 0.8, 0.999, 1.0])
def test_truncations_by_brute_force(temperature, top_k, top_p):
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(4, 3, 6, generator=generator, dtype=torch.float64).mul(2).log_softmax(-1)
    found = Truncation(temperature, top_k, top_p).apply(log_p).exp()
    for row, law in zip(log_p.flatten(0, 1), found.flatten(0, 1), strict=True):
        expected = row.exp() ** (1 / temperature)
        expected /= expected.sum()
        if top_k is not None:
            expected = best(expected, range(min(top_k, 6), 7), 0.0)
        if top_p not in (None, 1.0):
            expected = best(expected, range(1, 7), top_p)
        torch.testing.assert_close(law, expected, rtol=1e-12, atol=1e-15)


def test_the_default_is_the_law_itself_bit_for_bit():
    scores = torch.randn(3, V, generator=torch.Generator().manual_seed(0))  # float32, not normalised
    found = Truncation().apply(scores)
    assert torch.equal(found, scores.double())
    assert found.dtype == torch.float64


@pytest.mark.parametrize("all_of_it", [Truncation(top_k=40), Truncation(top_k=49), Truncation(top_p=1.0)])
def test_keeping_everything_is_the_law_itself(all_of_it):
    law = torch.rand(20, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    law[:, 37:] *= torch.tensor([1e-30, 0.0, 1e-300])  # the sum of the others is 1, or a rounding more or less
    law /= law.sum(-1, keepdim=True)
    torch.testing.assert_close(all_of_it.apply(law.log()).exp(), law, rtol=1e-12, atol=0)


def test_of_tokens_that_are_equally_likely_those_with_smaller_ids_stay():
    even = torch.full((64,), 1 / 64, dtype=torch.float64)
    assert kept(Truncation(top_k=3), even) == [0, 1, 2]
    assert kept(Truncation(top_p=0.25), even) == list(range(16))
    assert kept(Truncation(top_p=1e-9), even) == kept(Truncation(top_k=1), even) == [0]


@pytest.mark.parametrize("narrow", [Truncation(top_k=1), Truncation(top_p=1e-300), Truncation(temperature=5e-324)])
def test_the_narrowest_truncations_take_the_most_likely_token(narrow):
    assert torch.equal(narrow.apply(LAW.log()).exp(), torch.tensor([0, 1.0, 0, 0, 0]).double())


def test_at_a_great_temperature_all_tokens_that_can_be_are_equally_likely():
    law = Truncation(temperature=1e300).apply(torch.tensor([0.9, 0.1, 0.0]).log()).exp()
    torch.testing.assert_close(law, torch.tensor([0.5, 0.5, 0.0]).double())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", 0),
        ("top_k", -3),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", float("nan")),
    ],
)
def test_a_truncation_that_is_none_is_named(option, value):
    with pytest.raises(ValueError, match=f"^{option} {value}: must be"):
        Truncation(**{option: value})
