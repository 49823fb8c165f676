"""Labels in figures: legends count arms and not separators, and labels without glyphs are numbered in every figure."""

import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import reports
from bench.results.suite_record import PROFILE, RecordedTrajectories, SuiteRecord
from reports.figures.frontiers import draw_frontier, tabulate_frontiers
from reports.figures.labels import NUMBERED, number_labels, spell
from reports.figures.schedules import plot_schedules
from tests.reports.test_differences import make_pairs
from tests.reports.test_figures import cost_rows
from tests.reports.test_frontiers import make_costs
from tests.reports.test_quality_table import GOOD, make_controls, make_way
from tests.support.report_records import make_arm, make_record

HIDDEN, EMOJI = "模型甲", "🙂 steps"
FIGURES = {"curves", "forest", "schedules", "learned", "unmasked", "tuning", "spent", "cost"} | {
    f"frontier_{name}" for name in ("calls", "seconds", "temperature")
}


def read_texts(svg: Path) -> list[str]:
    """All texts in a figure."""
    elements = ElementTree.fromstring(svg.read_text()).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in elements]


def make_everything() -> SuiteRecord:
    """A record with every kind of figure, whose labels no installed font can show."""
    arms = [make_arm(label, 3.0) for label in (HIDDEN, EMOJI)]
    costs = [cost_rows(label, 0, tokens_per_second=1e3, seconds_per_sequence=0.5) for label in (HIDDEN, EMOJI)]
    heats = [make_way(HIDDEN, GOOD | {"gen_ppl": 30 * heat}, temperature=heat) for heat in (0.5, 0.8)]
    lost = make_arm("失敗", 3.1, failures=dict.fromkeys(("train", "bound", "samples"), "out of memory"))

    bins = {"method": "mdlm", "along": "t", "seed": 0, "value": 1.0, "standard_error": 0.1, "n": 8, "clusters": 0}
    profiles = [{"arm": label, "low": 0.0, "high": 1.0, **bins} for label in (HIDDEN, EMOJI)]
    learned = [
        {"arm": HIDDEN, "method": "genmd4", "metric": "力", "seed": 0, "token": token, "value": 1.0} for token in "a模"
    ]
    trajectory = RecordedTrajectories(
        arm=HIDDEN,
        method="mdlm",
        seed=0,
        way="步",
        policy="ancestral",
        grid="linear",
        network_calls=1,
        symbols=["a"],
        texts=[{"length": 2, "start": [0, 1, 1, 1], "changes": [[0, 0, 1, 0]]}],
        finals=["aa"],
    )
    tried = [{"score": score, "values": {}, "cells": [], "standard_error": None} for score in (3.0, 3.1)]
    tuned = {"trials": 2, "failed": 0, "tokens": 1, "flops": 1.0, "seconds": 1.0, "tried": tried}
    tuned |= {"score": 3.0, "standard_error": 0.1, "winner": {}}
    tuning = {"metric": "bits_per_char", "split": "valid", "sampler": "sobol", "budget": {"steps": 1}, "seeds": [1]}
    tuning |= {"arms": {HIDDEN: tuned}, "untuned": {EMOJI: "as published"}}

    record = make_record(*arms, *costs, *make_costs(HIDDEN), *heats, make_controls(), lost, state="incomplete")
    return replace(
        record,
        options={HIDDEN: {}, EMOJI: {"schedule": "cosine"}},
        pairs=pd.DataFrame(make_pairs(EMOJI, HIDDEN, 0.1, 0.2)),
        profiles=pd.DataFrame(profiles, columns=PROFILE),
        learned=pd.DataFrame(learned),
        trajectories=[trajectory],
        tuning=tuning,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of such a record; a warning about a missing glyph is an error."""
    folder = tmp_path_factory.mktemp("labels")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        reports.write_report(make_everything(), folder)
    return folder


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_labels_without_glyphs_are_numbered_in_every_figure(folder: Path, name: str) -> None:
    texts = read_texts(folder / f"{name}.svg")
    assert any(NUMBERED.split()[0] in text for text in texts)
    assert any("(1)" in text for text in texts)
    assert not set("".join(texts)) & set("模型甲🙂失敗步力")
    assert HIDDEN in (folder / f"{name}.csv").read_text(), "numbers keep the labels"


def test_the_key_is_in_the_report(folder: Path) -> None:
    key = f"(1) {HIDDEN}; (2) {EMOJI}; (3) 失敗"
    assert key in (folder / "figure_labels.md").read_text()
    assert key in (folder / "index.html").read_text()


def test_a_token_without_a_glyph_is_spelled_by_its_code_point(folder: Path) -> None:
    assert "U+6A21" in read_texts(folder / "learned.svg")
    assert [spell("a"), spell("模型")] == ["a", "U+6A21 U+578B"]


def test_installed_fonts_are_used_before_labels_are_numbered(tmp_path: Path) -> None:
    labels = number_labels(make_record(make_arm("Ⓐ", 3.0)))
    assert labels.numbers == {}
    assert any(family.startswith(("DejaVu", "STIX")) for family in labels.families[1:])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        reports.write_report(make_record(make_arm("Ⓐ", 3.0)), tmp_path)
    assert any("Ⓐ" in text for text in read_texts(tmp_path / "curves.svg"))
    assert not (tmp_path / "figure_labels.md").exists()


def test_numbers_are_unique_and_a_label_inside_another_stays_apart() -> None:
    labels = number_labels(make_record(*(make_arm(label, 3.0) for label in ("(1)", "模", "模型"))))
    assert labels.numbers == {"模": "(2)", "模型": "(3)"}
    assert labels.rewrite("minus 模型: (1), 模") == "minus (3): (1), (2)"


def test_separators_in_labels_are_not_counted_as_arms(tmp_path: Path) -> None:
    arms = ("MDLM; wide", "MDLM; deep", "cosine; wide")
    record = make_record(
        *(make_arm(arm, 3.0) for arm in arms),
        options={"cosine; wide": {"schedule": "cosine"}, arms[0]: {}, arms[1]: {}},
    )
    texts = read_texts(plot_schedules(record, tmp_path)[0])
    assert "MDLM; wide and 1 more" in texts
    assert "cosine; wide" in texts


def test_an_arm_called_like_a_reference_keeps_its_curve(tmp_path: Path) -> None:
    record = make_record(make_arm("unigram", 3.0, kind=""), make_arm("A (bound)", 3.1, kind=""), make_arm("A", 3.2))
    reports.write_report(record, tmp_path)
    texts = read_texts(tmp_path / "curves.svg")
    assert [texts.count(name) for name in ("unigram (bound)", "unigram (reference)", "A (bound)")] == [1, 1, 1]


def test_labels_may_look_like_the_words_of_a_figure() -> None:
    heats = [make_way("_MDLM, temperature 0.5", GOOD, temperature=heat) for heat in (0.5, 0.8)]
    bare = [row | {"way": ""} for row in make_way("data", GOOD)]
    tables = tabulate_frontiers(make_record(*heats, bare, make_controls()))
    legend = draw_frontier("temperature", tables["temperature"]).legends[0]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["_MDLM, temperature 0.5: ancestral, 64 calls", "data", "data (control text)"]
