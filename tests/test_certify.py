"""The certificate: right methods pass, wrong ones are rejected, and for the right reason."""

import pytest

from bench.certify.verdict import Check, certify
from bench.cli import BAD_USE, DONE, FAILED, main
from methods import METHODS
from tests import museum

SLOW = {"plaid"}  # half a minute: run with the slow tests


def failed(name: str) -> list[Check]:
    return [each for each in certify(name, {}) if not each.passed]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in SLOW])
def test_every_registered_method_is_certified(name):
    assert failed(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_slow_methods_are_certified(name):
    assert failed(name) == []


EXHIBITS = {  # the class, and what the certificate has to say of it: too low or too high
    museum.WithoutEnds: "-",
    museum.Halved: "-",
    museum.WrongMeaning: "+",
    museum.TrainingLoss: "-",
    museum.WrongWeight: "+",
    museum.ShiftedGrid: "-",
    museum.WithoutPriorGap: "-",
}


@pytest.mark.parametrize(("exhibit", "sign"), EXHIBITS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_what_is_wrong_is_rejected_because_its_bound_is_not_the_likelihood(exhibit, sign, monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", exhibit)
    rejected = failed("wrong")
    assert rejected
    against_the_oracle = [each for each in rejected if each.name.startswith("bound of an oracle")]
    assert against_the_oracle
    assert all(each.figure.startswith(sign) for each in against_the_oracle)


def test_a_bound_that_claims_too_much_shows_without_any_oracle(monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    kraft = [each for each in failed("wrong") if each.name.startswith("Kraft")]
    assert len(kraft) == 3
    assert float(kraft[0].figure.split()[0]) > 4  # 27 texts at the root of 1/27 each: 5.2


def test_the_command_says_what_it_found(capsys, monkeypatch):
    assert main(["certify", "ar"]) == DONE
    assert "passed" in capsys.readouterr().out
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    assert main(["certify", "wrong"]) == FAILED
    assert "FAILED" in capsys.readouterr().out
    assert main(["certify", "mdln"]) == BAD_USE
    assert 'did you mean "mdlm"' in capsys.readouterr().err
