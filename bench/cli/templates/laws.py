"""The laws of the method `masked`: its certificate's quick questions, and the bound of `mdlm`."""

from typing import Any

import pytest
import torch

from bench.certify.checks import Case, certify
from bench.certify.kraft import VOCAB_SIZE, random_network
from bench.engine.likelihood.bound import bound

NAME, TWIN = "masked", "mdlm"
OPTIONS: list[dict[str, Any]] = [{}, {"schedule": "geometric"}]


def test_an_oracle_and_the_probes_find_no_fault() -> None:
    """The quick part of `bench certify`, with the default options."""
    found = list(certify(Case(NAME, {}), ("identities", "probes", "oracle")))
    assert found
    assert not [check for check in found if not check.passed]


@pytest.mark.parametrize("options", OPTIONS)
def test_it_has_the_bound_of_its_twin_for_the_same_scores(options: dict[str, Any]) -> None:
    """All three parts, by one network of random weights. Put another law here when your method has another bound."""
    x = torch.arange(12).view(2, 6) % VOCAB_SIZE
    own, others = (
        bound(random_network(Case(name, options).build(VOCAB_SIZE), spread=0.5, seed=0), x, 4, 2, 0, len(x))
        for name in (NAME, TWIN)
    )
    for part, nats in own.items():
        torch.testing.assert_close(nats, others[part], rtol=1e-9, atol=1e-12)
    assert (own["integral"] > 0).all()
