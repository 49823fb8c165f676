"""The certificate: right methods pass, wrong ones are rejected, and for the right reason."""

import pytest

from bench.certify import verdict
from bench.certify.verdict import Check, certify
from bench.cli import BAD_USE, DONE, FAILED, main
from methods import METHODS
from tests import museum


def failed(name: str, *questions: str) -> list[Check]:
    return [each for each in certify(name, {}, questions) if not each.passed]


@pytest.mark.parametrize("name", METHODS)
def test_the_bound_of_every_registered_method_is_certified(name):
    assert failed(name, "identities", "probes", "oracle") == []


def test_a_wrong_weight_breaks_the_identity_with_a_neighbour(monkeypatch):
    assert [each.passed for each in certify("gidd", {}, ("identities",))] == [True]
    monkeypatch.setitem(METHODS, "wrong", museum.WrongWeight)
    assert [each.name for each in failed("wrong", "identities")] == ["identity with md4"]


LEAKS = {museum.Peeking: "the future", museum.Dated: "the time", museum.LeavesMasks: "ids of samples"}


@pytest.mark.parametrize(("exhibit", "leak"), LEAKS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_leaks_are_found(exhibit, leak, monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", exhibit)
    assert [each.name for each in failed("wrong", "probes")] == [f"leak: {leak}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_passes_all_that_is_asked(name):
    assert failed(name, "samples", "kraft") == []


def test_the_samples_of_an_oracle_are_certified():
    found = list(certify("mdlm", {}, ("samples",)))
    assert [each.passed for each in found] == [True]
    four = float(found[0].figure.split()[0])
    assert four == pytest.approx(0.11, abs=0.02)  # what four calls pay for writing both tokens at once


def test_samples_at_a_temperature_five_percent_too_low_are_rejected(monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", museum.Sharpened)
    assert [each.name for each in failed("wrong", "samples")] == ["ancestral samples, distance"]
    assert failed("wrong", "oracle") == []


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
    rejected = failed("wrong", "oracle")
    against = [each for each in rejected if each.name.startswith("bound of an oracle")]
    assert against
    assert all(each.figure.startswith(sign) for each in against)


def test_a_bound_that_claims_too_much_shows_without_any_oracle(monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    kraft = failed("wrong", "kraft")
    assert len(kraft) == 3
    assert float(kraft[0].figure.split()[0]) > 4  # 27 texts at the root of 1/27 each: 5.2


def test_the_command_says_what_it_found(capsys, monkeypatch):
    assert main(["certify", "ar"]) == DONE
    assert "passed" in capsys.readouterr().out
    monkeypatch.setattr(verdict, "QUESTIONS", ("kraft",))
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    assert main(["certify", "wrong"]) == FAILED
    assert "FAILED" in capsys.readouterr().out
    assert main(["certify", "mdln"]) == BAD_USE
    assert 'did you mean "mdlm"' in capsys.readouterr().err
