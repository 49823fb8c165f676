"""Prompts and templates: what is given stays, and the rest is drawn as a suite draws it."""

import pytest
import torch

from bench.cli.prompt import parse_template
from bench.cli.sample import draw_prompted
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.sample.sampler import sample_long
from bench.engine.sample.settings import SamplesSpec
from bench.engine.sample.state import Prompt
from methods import build
from tests.cli.test_sample import WINDOW


def model(name: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    fresh = Model(build(name, 5), Shape(layers=1, width=16, heads=2), 5, "sdpa")
    torch.nn.init.normal_(fresh.network.output.weight)
    return fresh.eval()


def given(text: str, count: int = 2) -> Prompt:
    """Digits are known, dots are not."""
    ids = torch.tensor([int(sign) if sign != "." else 0 for sign in text])
    return Prompt(ids.repeat(count, 1), torch.tensor([sign != "." for sign in text]).repeat(count, 1))


def test_an_underscore_is_a_gap_unless_a_backslash_stands_before_it():
    assert parse_template("a__b") == [("a", True), ("__", False), ("b", True)]
    assert parse_template(r"a\_b_") == [("a_b", True), ("_", False)]
    assert parse_template(r"\\_\n") == [("\\", True), ("_", False), (r"\n", True)]
    assert parse_template("") == []


@pytest.mark.parametrize("name", ["ar", "mdlm", "udlm", "sedd-uniform", "plaid"])
@pytest.mark.parametrize(("length", "stride"), [(24, 4), (19, 3), (9, 7)])
def test_with_nothing_given_long_texts_are_those_of_a_suite(name, length, stride):
    trained, spec = model(name), SamplesSpec(count=2, calls=3, length=length, stride=stride)
    drawn = draw_prompted(trained, spec, Prompt.empty(2, length), WINDOW, seed=5)
    expected = sample_long(trained, 2, WINDOW, length, stride, 5, spec.sampler_settings())
    assert torch.equal(drawn.ids, expected.ids)
    assert drawn.network_calls == expected.network_calls
    assert drawn.cut_off_share == pytest.approx(expected.cut_off_share)
    assert (drawn.cut_off_share > 0) == (name == "sedd-uniform")


@pytest.mark.parametrize("name", ["mdlm", "udlm", "plaid"])
def test_what_is_given_stays_in_every_window(name):
    known = given("01.2....33....4.....0.1")
    spec = SamplesSpec(count=2, calls=3, length=23, stride=3)
    drawn = draw_prompted(model(name), spec, known, WINDOW, seed=1)
    assert drawn.ids.shape == (2, 23)
    assert torch.equal(drawn.ids[known.fixed], known.ids[known.fixed])
    assert not torch.equal(drawn.ids[0], drawn.ids[1])


def test_a_beginning_longer_than_windows_costs_no_calls_for_them_and_is_seen():
    known = given("0123401234012" + "." * 5)
    spec = SamplesSpec(count=2, calls=1, length=18, stride=4, top_k=1)
    drawn = draw_prompted(model("ar"), spec, known, WINDOW, seed=1)
    assert drawn.network_calls == 16 - 13 + 4  # the third window ends at 16, the fourth at 20
    assert torch.equal(drawn.ids[:, :13], known.ids[:, :13])
    assert draw_prompted(model("udlm"), SamplesSpec(calls=3, stride=4), known, WINDOW, seed=1).network_calls == 2 * 3
    window = Prompt(drawn.ids[:, 8:16], known.fixed[:, 8:16])
    again = draw_prompted(model("ar"), spec.model_copy(update={"length": None}), window, WINDOW, seed=9)
    assert torch.equal(drawn.ids[:, 8:16], again.ids)  # the likeliest tokens given the window's own beginning
