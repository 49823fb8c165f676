"""Addends of a bound: measured on its draws, in no sum, and what is left without them is another method's bound."""

import pytest
import torch

from bench.engine.likelihood.bound import PARTS, bound
from bench.engine.likelihood.metrics import bound_metrics
from methods import build
from methods.discrete.sedd import SeddAbsorb, SeddUniform, total_noise
from methods.masked.absorbing import Md4
from methods.method import Method
from methods.schedules import Cosine, Geometric, Linear
from tests.engine.likelihood.test_estimators import trained


class Mean(Md4):
    """The mean that is left of SEDD's ratios when they are normalised, told what SEDD is told."""

    def clock(self, t):
        return total_noise(self.schedule, super().clock(t))


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Geometric()], ids=str)
@pytest.mark.parametrize("estimator", ["auto", "independent"])
def test_i2_the_bound_of_sedd_without_its_addend_is_that_of_the_normalised_mean(schedule, estimator, monkeypatch):
    """To the last digits and sequence by sequence, through the harness, in pieces of a few positions."""
    monkeypatch.setattr("bench.engine.model.method_with_network.SCORES_AT_ONCE", 35)
    x = torch.randint(5, (6, 8), generator=torch.Generator().manual_seed(0))
    sedd, mean = (
        bound(trained(method), x, 4, 2, 0, 4, estimator=estimator, addends=True)
        for method in (SeddAbsorb(5, schedule), Mean(5, schedule))
    )
    assert "integral[normalisation]" not in mean
    addend = sedd["integral[normalisation]"]
    assert (addend >= 0).all()
    assert (addend > 0).any()
    torch.testing.assert_close(sedd["integral"] - addend, mean["integral"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sedd["last_guess"], mean["last_guess"], rtol=1e-12, atol=1e-12)


def test_an_addend_is_a_metric_and_no_part_of_the_sum():
    parts = {name: torch.full((3, 2), 8.0, dtype=torch.float64) for name in (*PARTS, "integral[normalisation]")}
    metrics = bound_metrics(parts, 4, [4, 4, 4], "char")
    assert metrics["nats_per_token"].value == 6.0
    assert metrics["integral[normalisation]"].value == 2.0


def test_the_addends_of_the_registered_methods_are_addends_of_their_integrands():
    """None is larger than the integral, and none is below zero."""
    x = torch.randint(5, (4, 8), generator=torch.Generator().manual_seed(0))
    for name in ("sedd-absorb", "sedd-uniform", "mdlm", "gidd"):
        found = bound(trained(build(name, 5)), x, 4, 2, 0, 4, addends=True)
        for addend in [value for key, value in found.items() if key not in PARTS]:
            assert (addend >= 0).all()
            assert (addend <= found["integral"]).all()
    assert SeddUniform.addends is Method.addends
