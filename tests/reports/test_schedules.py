"""Schedules in a report: which lines the figure has, what they say, and where there is no figure."""

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import reports
from bench.results.suite_record import SuiteRecord
from reports.figures.schedules import plot_schedules, tabulate_schedules
from reports.tables.arms import differ_in_schedule
from reports.tables.breakdown import explain_terms, list_breakdown
from reports.tables.estimators import build_estimators, list_ratios
from tests.conftest import ALL_FORMATS
from tests.support.report_records import make_arm, make_record

OPTIONS: dict[str, dict[str, Any]] = {
    "MDLM": {},
    "MD4": {"schedule": "linear"},
    "cosine": {"schedule": "cosine"},
    "cubic": {"schedule": {"name": "polynomial", "power": 3.0}},
    "GIDD": {"uniform_share": 0.2},
    "GenMD4": {},
}
METHODS = {"MD4": "md4", "GIDD": "gidd", "GenMD4": "genmd4"}


def record_of(*arms: str) -> SuiteRecord:
    rows = [make_arm(arm, 3.0, method=METHODS.get(arm, "mdlm")) for arm in arms]
    return make_record(*rows, options={arm: OPTIONS[arm] for arm in arms})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("schedules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.figures.style.FORMATS", ALL_FORMATS)
        reports.write_report(record_of(*OPTIONS), made)
    return made


def test_there_is_one_line_for_each_distinct_schedule():
    curves = tabulate_schedules(record_of(*OPTIONS))
    assert list(curves["arms"].unique()) == ["MDLM; MD4", "cosine", "cubic", "GIDD"]  # GenMD4 has one for each token
    assert list(curves["name"].unique()) == ["MDLM and 1 more", "cosine", "cubic", "GIDD"]


def test_the_lines_are_those_of_the_papers():
    curves = tabulate_schedules(record_of(*OPTIONS)).set_index("arm")
    t = curves.loc["cosine", "t"].to_numpy()
    np.testing.assert_allclose(curves.loc["MDLM", "alpha"], 1 - t)
    np.testing.assert_allclose(curves.loc["MDLM", "weight"], 1 / t)
    np.testing.assert_allclose(curves.loc["cosine", "alpha"], 1 - np.cos(np.pi / 2 * (1 - t)), atol=1e-12)
    np.testing.assert_allclose(curves.loc["cubic", "weight"], 3 / t)
    bump = 2 * 0.2 / 0.8 * np.sqrt(t * (1 - t))
    np.testing.assert_allclose(curves.loc["GIDD", "alpha"], (1 - t) / (1 + bump))
    assert curves.loc["GIDD", "weight"].isna().all()


def test_arms_of_one_schedule_make_no_figure(tmp_path):
    found = record_of("MDLM", "MD4")
    assert plot_schedules(found, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert build_estimators(found) is None


def test_arms_that_differ_in_more_than_their_schedule_are_not_compared_by_it():
    assert differ_in_schedule(record_of("MDLM", "cosine"))
    assert not differ_in_schedule(record_of("MDLM", "MD4"))
    told = record_of("MDLM", "cosine")
    told.options["cosine"] = {"schedule": "cosine", "time": True}
    assert not differ_in_schedule(told)


def test_a_method_that_is_not_here_has_no_line():
    found = make_record(make_arm("mine", 3.0, method="from-a-plugin"), make_arm("cosine", 3.0, method="mdlm"))
    assert tabulate_schedules(found).empty


def test_the_figure_is_on_the_page_with_its_numbers_beside(folder):
    page = (folder / "index.html").read_text()
    assert 'id="schedules"' in page
    assert 'aria-label="Schedules of noise of MDLM' in page
    assert {path.suffix for path in folder.glob("schedules.*")} == {".svg", ".png", ".pdf", ".csv"}
    assert len(pd.read_csv(folder / "schedules.csv")) == 4 * 201
    svg = (folder / "schedules.svg").read_text()
    ElementTree.fromstring(svg)
    assert "MDLM and 1 more" in svg
    assert "mathdefault" not in svg  # ticks are plain numbers
    assert "#000000" not in svg


def estimates(arm: str, ways: dict[str, tuple[float, float, float]]) -> list[dict[str, Any]]:
    """Rows of a bound and its further estimates: deviation, its error, and calls of each."""
    rows = []
    for place, (way, (deviation, error, calls)) in enumerate(ways.items()):
        common = {**make_arm(arm, 3.0)[0], "stage": "estimate" if place else "bound", "way": way, "split": "test"}
        rows.append({**common, "metric": "estimator_sd", "value": deviation, "standard_error": error, "n": 58})
        rows.append({**common, "metric": "network_calls", "value": calls})
        nats = {"metric": "nats_per_token", "value": 2.0, "standard_error": 0.02, "kind": "certified"}
        rows.append({**common, **nats, "monte_carlo_error": 0.01, "protocol": f"{way}; float32"})
    return rows


def test_variances_are_compared_at_equal_calls_with_the_errors_of_both():
    rows = pd.DataFrame(estimates("A", {"first": (0.1, 0.01, 8), "second": (0.3, 0.06, 10)}))
    (found,) = list_ratios(rows)
    ratio = 9 * 10 / 8
    assert found["value"] == pytest.approx(ratio)
    assert found["standard_error"] == pytest.approx(ratio * 2 * math.hypot(0.1, 0.2))
    assert list_ratios(rows[(rows["metric"] != "estimator_sd") | (rows["stage"] == "estimate")]) == []


@pytest.mark.parametrize("deviations", [(0.0, 0.3), (0.3, 0.0), (0.0, 0.0)])
def test_an_estimator_without_variance_has_no_ratio(deviations):
    first, second = deviations
    assert list_ratios(pd.DataFrame(estimates("A", {"first": (first, 0.0, 8), "second": (second, 0.0, 10)}))) == []


def test_over_seeds_a_ratio_of_variances_is_that_of_their_means():
    """So that ratios have the order of the deviations, which are roots of mean variances."""
    deviations = {0: (0.1, 0.3), 1: (0.4, 0.2)}
    rows = [
        row | {"seed": seed}
        for seed, (first, second) in deviations.items()
        for row in estimates("A", {"first": (first, 0.01, 8), "second": (second, 0.01, 8)})
    ]
    ratios = [ratio["value"] for ratio in list_ratios(pd.DataFrame(rows))]
    assert np.mean(ratios) == pytest.approx((0.3**2 + 0.2**2) / (0.1**2 + 0.4**2))
    spread = np.std(ratios, ddof=1)
    residuals = [second**2 - np.mean(ratios) * first**2 for first, second in deviations.values()]
    assert spread == pytest.approx(np.std(residuals, ddof=1) / np.mean([first**2 for first, _ in deviations.values()]))


def test_exact_likelihoods_are_no_estimators():
    found = make_record(
        make_arm("AR", 2.7, "exact"), estimates("A", {"first": (0.1, 0.01, 8), "second": (0.3, 0.0, 9)})
    )
    table = build_estimators(found)
    assert table is not None
    assert [row.label for row in table.rows] == ["A: first", "A: second"]
    assert [row.entries[0].sign for row in table.rows] == ["<=", "<="]


def test_an_addend_is_told_with_error_and_size_in_the_unit_of_the_score():
    row = {**make_arm("SEDD", 3.0, method="sedd-absorb")[-2], "metric": "integral[normalisation]"}
    row |= {"value": 0.5 * math.log(2), "standard_error": 0.01 * math.log(2)}
    found = make_record(make_arm("SEDD", 3.0, method="sedd-absorb"), [row])
    ((_, note),) = explain_terms(found)
    assert note.startswith(
        "In the bound of SEDD, 0.500 ± 0.010 bits per character (n = 58 × 1) are the cost of predictions"
    )
    assert [column.unit for column in list_breakdown(found) if column.title == "Of the diffusion loss"] == [
        "S - 1 - log S"
    ]
    assert explain_terms(record_of("MDLM")) == []


def test_a_deviation_within_rounding_has_no_ratio() -> None:
    """An estimator that is exact but for float32 is no base to divide by."""
    rows = pd.DataFrame(estimates("A", {"first": (1e-9, 1e-10, 8), "second": (0.1, 0.01, 10)}))
    nats = [{**row, "metric": "nats_per_token", "value": 2.0} for row in rows.drop_duplicates("way").to_dict("records")]
    assert list_ratios(pd.concat([rows, pd.DataFrame(nats)])) == []
