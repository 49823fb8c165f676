"""`bench methods`: what is told of a method is what the registry takes."""

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from bench.cli.main import main
from bench.cli.views.methods import first_sentence, to_yaml, values
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.suite.suite import read
from methods import METHODS, SCHEDULES, build, check, parameters
from methods.autoregressive import Autoregressive
from methods.schedules import Geometric, Linear, Schedule
from tests.conftest import TINY

TAKE_SCHEDULES = [
    name for name in METHODS if any(option.annotation is Schedule for option in parameters(METHODS[name]).values())
]


@pytest.fixture
def told(monkeypatch, capsys):
    """What a command prints, in whole lines or in a terminal of so many columns."""

    def run(*arguments: str, columns: int | None = None) -> str:
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns:
            monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["methods", *arguments]) == DONE
        return capsys.readouterr().out

    return run


def cells(text: str, head: str = "method") -> dict[str, list[str]]:
    """The cells of every row, by the first one, of the table whose first word is `head`."""
    (table,) = (block for block in text.strip().split("\n\n") if block.startswith(f"{head} "))
    rows = (re.split(r" {2,}", line.strip()) for line in re.sub(r"\n(?= )", "", table).splitlines())
    return {first: others for first, *others in rows}


def loaded(text: str) -> object:
    return YAML(typ="safe").load(text)


def test_the_list_tells_what_every_method_is_and_where_it_comes_from(told):
    rows = cells(told())
    assert list(rows) == ["method", *METHODS]
    for name, factory in METHODS.items():
        assert rows[name] == [first_sentence(factory), factory.paper]


@pytest.mark.parametrize("columns", [28, 40, 80, 120])
def test_every_method_has_one_line_and_its_whole_name_at_any_width(columns, told):
    lines = told(columns=columns).splitlines()
    assert [line.split()[0] for line in lines[-len(METHODS) :]] == list(METHODS)
    assert max(len(line) for line in lines) <= columns


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_told_with_its_values_and_its_default(name, told):
    options = parameters(METHODS[name])
    text = told("show", name)
    assert ("It takes no options." in text) == (not options)
    rows = cells(text, "option") if options else {}
    assert list(rows)[1:] == list(options)
    for option, parameter in options.items():
        worded, default = rows[option]
        assert worded == values(parameter.annotation)
        assert check(name, {option: loaded(default)}) == {option: parameter.default}


@pytest.mark.parametrize("name", METHODS)
def test_in_a_narrow_terminal_names_of_options_are_whole_and_nothing_is_cut(name, told):
    text = told("show", name, columns=28)
    assert parameters(METHODS[name]).keys() <= {line.split(" ")[0] for line in text.splitlines()}
    assert "…" not in text


@pytest.mark.parametrize("name", TAKE_SCHEDULES)
def test_every_schedule_is_told_with_its_settings_and_their_defaults(name, told):
    text = told("show", name)
    rows = cells(text, "schedule")
    assert list(rows)[1:] == list(SCHEDULES)
    for schedule, factory in SCHEDULES.items():
        sentence, *settings = rows[schedule]
        assert sentence == first_sentence(factory)
        assert settings == [
            f"{setting}: {values(parameter.annotation)} ({to_yaml(parameter.default)})"
            for setting, parameter in parameters(factory).items()
        ]
    (shown,) = re.findall(r"settings is written (.*\})", text)
    assert loaded(shown)["name"] in SCHEDULES
    assert isinstance(check(name, {"schedule": loaded(shown)})["schedule"], Schedule)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TAKE_SCHEDULES])
def test_schedules_are_told_only_of_methods_that_take_them(name, told):
    assert "\nschedule " not in told("show", name)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("columns", [None, 40])
def test_the_example_is_two_lines_of_a_suite(name, columns, told, tmp_path):
    shown = told("show", name, columns=columns).split("In a suite:")[1].strip()
    assert len(shown.splitlines()) == 2
    path = tmp_path / "suite.yaml"
    path.write_text(re.sub(r"arms:\n(  - .*\n)+", f"{shown}\n", TINY))
    (arm,) = read(path).spec.arms
    assert arm.method == name
    assert bool(arm.options) == bool(parameters(METHODS[name]))


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_needs_and_what_its_bound_is_are_told(name, told):
    text = told("show", name)
    rows, method = cells(text, "paper"), build(name, vocab_size=5)
    assert METHODS[name].__doc__
    assert " ".join(METHODS[name].__doc__.split()) in " ".join(text.split())
    assert rows["paper"] == [method.paper]
    (bound,), (identities,), (network,), (time,) = (rows[fact] for fact in ("bound", "identities", "network", "time"))
    assert bound.startswith("exact" if method.exact else "an upper bound")
    assert set(re.findall(r"[\w-]+", identities)) >= {each.name for each in method.neighbours}
    assert ("none" in identities) == (not method.neighbours)
    assert ("causal" in network) == method.needs.causal
    assert ("without the time" in network) == (not method.needs.time)
    assert ("vectors" in network) == bool(method.needs.vector_width)
    assert ("previous guess" in network) == method.needs.self_condition
    assert ("discrete" in time) == (method.needs.steps is not None)
    assert str(method.needs.steps or "") in time


WORDS = {
    "true or false": bool,
    "text": str,
    "number": float,
    "whole number": int,
    "number from 0 up to below 1": Annotated[float, Field(ge=0, lt=1)],
    "number above 0 up to 2": Annotated[float, Field(gt=0, le=2)],
    "number above 0": Annotated[float, Field(gt=0, allow_inf_nan=False)],
    "whole number from 1": Annotated[int, Field(ge=1)],
    "whole number from 2 in multiples of 2": Annotated[int, Field(ge=2, multiple_of=2)],
    "whole number from 1, or null": Annotated[int, Field(ge=1)] | None,
    "one of bound, clip, dynamic": Literal["bound", "clip", "dynamic"],
    "one of 1, '1', 'null', true": Literal[1, "1", "null", True],
    "one of a, b, or null": Literal["a", "b"] | None,
    "only a": Literal["a"],
    f"schedule: {', '.join(SCHEDULES)}": Schedule,
}


@pytest.mark.parametrize("words", WORDS)
def test_a_type_is_worded_from_its_annotation(words):
    assert values(WORDS[words]) == words


@pytest.mark.parametrize("annotation", [list[float], Annotated[str, Field(min_length=1)]])
def test_a_type_without_words_is_refused(annotation):
    with pytest.raises(TypeError, match="no description of the values"):
        values(annotation)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1000, "1000"),
        (1e-5, "1e-05"),
        ("clip", "clip"),
        ("true", "'true'"),
        (Linear(), "linear"),
        (Linear(eps=0.001), "{name: linear, eps: 0.001}"),
        (Geometric(sigma_max=3.0), "{name: geometric, sigma_max: 3.0}"),
        ({"schedule": Linear(eps=0.001), "a": 1}, "{schedule: {name: linear, eps: 0.001}, a: 1}"),
    ],
)
def test_a_value_is_written_as_in_a_suite(value, text):
    assert to_yaml(value) == text


def test_a_method_that_is_registered_later_is_told_like_the_others(told, monkeypatch):
    class Later(Autoregressive):
        """Waits; e.g. 3 times. Then it goes on.

        law = first line
            + second line

        It goes [bold]on[/bold].
        """

        paper = "Nobody et al. 2030, arXiv:3001.00001v1"

        def __init__(
            self, vocab_size: int, mood: Literal["calm", "null"] | None = "null", curve: Schedule = Linear(0.25)
        ):
            super().__init__(vocab_size)

    monkeypatch.setitem(METHODS, "later", Later)
    assert cells(told())["later"] == ["Waits; e.g. 3 times", Later.paper]
    text = told("show", "later")
    rows = cells(text, "option")
    assert rows["mood"] == ["one of calm, 'null', or null", "'null'"]
    assert rows["curve"] == [f"schedule: {', '.join(SCHEDULES)}", "{name: linear, eps: 0.25}"]
    assert "law = first line\n    + second line\n\nIt goes [bold]on[/bold]." in text
    assert "- {label: LATER, method: later, options: {mood: 'null'}}" in text


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_name_is_bad_use_and_told_with_a_near_one(name, capsys):
    assert main(["methods", "show", f"{name}x"]) == USAGE_ERROR
    out, err = capsys.readouterr()
    assert not out
    assert f'unknown method "{name}x"; did you mean "{name}"? known: {", ".join(METHODS)}' in err
