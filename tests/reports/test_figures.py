"""Where bounds spend their nats, what curves cost, and speed and memory: what is recorded, and what is drawn of it."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch

import reports
from bench.cli.main import main
from bench.engine import environment
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import EstimatorName
from bench.engine.likelihood.time_density import NoiseDraws, RecordingModel, time_density
from bench.launch.exit_codes import DONE, INCOMPLETE
from bench.results.suite_record import PROFILE, SuiteRecord, read
from methods import build
from methods.method import Method
from reports.figures.bound_density import plot_bound_density, tabulate_density
from reports.figures.cost import plot_cost, tabulate_cost
from reports.figures.curves import plot_curves, tabulate_curves
from reports.page.html_page import describe_cost_panels
from reports.tables.arms import describe_missing
from reports.tables.fairness import list_fairness
from tests.conftest import TINY
from tests.support.changed_records import change
from tests.support.report_records import Rows, make_arm, make_record
from tests.support.toys import LAW, TEXTS, L, Oracle, V, model

CASES: list[tuple[str, dict[str, Any], EstimatorName]] = [
    ("mdlm", {}, "auto"),
    ("mdlm", {"schedule": "cosine"}, "times"),  # with a last guess, whose calls are no part of the integral
    ("sedd-absorb", {}, "auto"),
    ("gidd", {}, "auto"),  # draws are warped
    ("udlm", {}, "independent"),
    ("d3pm-absorb", {"steps": 7}, "auto"),
    ("d3pm-uniform", {"steps": 50}, "auto"),
]


class Knowing(RecordingModel, Oracle):
    """The oracle of the toys, watched."""


def spend(
    method: Method, x: torch.Tensor, draws: int, estimator: EstimatorName, kind: type[RecordingModel]
) -> tuple[Any, float]:
    """The profile of a bound in three batches, and the integral that it stands for, in nats per token."""
    watched = model(method, kind=kind)
    assert isinstance(watched, RecordingModel)
    watched.law, watched.noise_draws = LAW, NoiseDraws()  # type: ignore[assignment]
    parts = bound(watched, x, draws, 2, 0, math.ceil(len(x) / 3), estimator=estimator)
    density = time_density(watched.noise_draws, method, parts["integral"], L, draws, estimator)
    return density, float(parts["integral"].mean()) / L


@pytest.mark.parametrize(("name", "options", "estimator"), CASES)
def test_the_bins_sum_to_the_integral(name: str, options: dict[str, Any], estimator: EstimatorName) -> None:
    method = build(name, V, **options)
    found, integral = spend(method, TEXTS.repeat(3, 1), 16, estimator, RecordingModel)
    widths = [high - low for low, high in zip(found["edges"], found["edges"][1:], strict=False)]
    total = sum(value * width for value, width in zip(found["value"], widths, strict=True))
    assert total == pytest.approx(integral, rel=1e-9)
    assert found["edges"][-1] == pytest.approx(1)
    assert found["edges"][0] == pytest.approx(0 if found["along"] == "masked" else method.t_min)
    assert len(widths) == {"masked": L, "t": method.needs.steps if method.needs.steps == 7 else 16}[found["along"]]
    assert all(error > 0 for error in found["standard_error"])


def test_the_density_over_masks_is_the_entropy_that_is_left() -> None:
    """With k of 2 tokens masked an oracle pays the entropy of one given the other (k = 1), or by itself (k = 2)."""
    joint = LAW.reshape(V, V)
    alone = [-(p * p.log()).sum() for p in (joint.sum(1), joint.sum(0))]
    both = -(LAW * LAW.log()).sum()
    exact = [float(sum(both - h for h in alone)) / 2, float(sum(alone)) / 2]
    x = TEXTS[torch.multinomial(LAW, 3000, replacement=True, generator=torch.Generator().manual_seed(0))]
    found, _ = spend(build("mdlm", V), x, 4, "auto", Knowing)
    assert found["edges"] == [0.0, 0.5, 1.0]
    for value, error, truth in zip(found["value"], found["standard_error"], exact, strict=True):
        assert abs(value - truth) < 4 * error < 0.1


def test_an_exact_likelihood_has_no_profile() -> None:
    assert spend(build("ar", V), TEXTS, 2, "auto", RecordingModel)[0] is None


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished runs of two methods."""
    folder = tmp_path_factory.mktemp("plots")
    (folder / "plots.yaml").write_text(TINY)
    assert main(["run", str(folder / "plots.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def test_a_run_records_its_profile_and_its_memory(runs: Path) -> None:
    record = read(runs, "plots")
    integral = record.table[(record.table["metric"] == "integral") & (record.table["arm"] == "MDLM")]["value"].item()
    spent = tabulate_density(record)
    assert list(spent["arm"].unique()) == ["MDLM"]
    assert spent["nats_per_token"].sum() == pytest.approx(integral)
    for found in runs.glob("cells/*/train/result.json"):
        peak = json.loads(found.read_text())["peak_memory_bytes"]
        assert 50 * 2**20 < peak < 4 * 2**30  # a process with torch in it


def test_a_run_has_its_curves_by_every_cost(runs: Path) -> None:
    record = read(runs, "plots")
    curves = tabulate_curves(record).set_index("arm").loc["MDLM"]
    trained = record.table[(record.table["arm"] == "MDLM") & (record.table["stage"] == "train")].set_index("metric")
    for metric in ("flops", "seconds"):
        assert curves[metric].iloc[-1] == pytest.approx(trained.loc[metric, "value"])
        assert curves[metric].is_monotonic_increasing
    assert curves["flops"].iloc[0] == pytest.approx(curves["flops"].iloc[-1] / 2)  # validated half way, and at the end
    assert describe_cost_panels(record) == "Below, the same by the FLOPs and the seconds of training."


@pytest.mark.usefixtures("every_format")
def test_the_figures_are_on_the_page_with_their_numbers_and_equal_bytes(runs: Path, tmp_path: Path) -> None:
    record = read(runs, "plots")
    for folder in ("one", "other"):
        reports.write_report(record, tmp_path / folder)
    page = (tmp_path / "one" / "index.html").read_text()
    for name in ("curves", "spent", "cost"):
        files = sorted((tmp_path / "one").glob(f"{name}.*"))
        assert {path.suffix for path in files} == {".svg", ".png", ".pdf", ".csv"}
        assert all(path.read_bytes() == (tmp_path / "other" / path.name).read_bytes() for path in files)
        svg = (tmp_path / "one" / f"{name}.svg").read_text()
        ElementTree.fromstring(svg)
        assert "#000000" not in svg
        assert f"<code>{name}.csv</code>" in page
    assert "training FLOPs" in page
    assert "training seconds" in page
    assert (
        page.index('id="breakdown"')
        < page.index('aria-label="Where the bound spends its nats')
        < page.index('id="data"')
    )


def test_a_report_is_timed_without_touching_the_one_that_is_there(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (runs / "reports").rglob("*")}
    assert main(["perf", "report", str(runs.parent / "plots.yaml"), "--runs", str(runs)]) == DONE
    assert re.fullmatch(r"a report of 2 cells: [\d.]+ s \([\d.]+ to [\d.]+\)\n", capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in (runs / "reports").rglob("*")} == before


def test_a_system_that_does_not_tell_its_memory_fails_nothing(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(Path, "read_text", lambda self: "Name:\tpython\n")
        assert environment.peak_memory(torch.device("cpu")) is None
    shutil.copytree(runs, tmp_path / "runs")
    for path in (tmp_path / "runs" / "cells").glob("*/train/result.json"):
        change(path, lambda result: result.update(peak_memory_bytes=None))
    table = read(tmp_path / "runs", "plots").table
    assert "peak_memory_bytes" not in set(table["metric"])
    assert "seconds" in set(table["metric"])


def cost_rows(arm: str, seed: int, **values: float) -> Rows:
    """Rows of what an arm cost, by the names of their metrics."""
    common = make_arm(arm, 3.0, seed=seed)[0] | {"split": "", "standard_error": math.nan, "way": ""}
    stages = {metric: "samples" if metric == "seconds_per_sequence" else "train" for metric in values}
    return [{**common, "stage": stages[metric], "metric": metric, "value": value} for metric, value in values.items()]


def test_speed_and_memory_are_means_over_seeds_with_their_errors() -> None:
    seeds = [
        cost_rows("A", seed, tokens_per_second=1e3 + 200 * seed, peak_memory_bytes=2.0**30, seconds_per_sequence=0.5)
        for seed in (0, 1)
    ]
    cost = tabulate_cost(make_record(*seeds)).set_index("metric")
    rate = 2 / (1 / 1000 + 1 / 1200)  # all tokens over all seconds
    assert cost.loc["tokens_per_second", "value"] == pytest.approx(rate)
    assert cost.loc["tokens_per_second", "standard_error"] == pytest.approx(rate**2 * (1 / 1000 - 1 / 1200) / 2)
    assert cost.loc["seconds_per_sequence", ["value", "seeds"]].to_list() == [0.5, 2]


def test_figures_name_the_arms_that_they_lack(tmp_path: Path) -> None:
    lost = make_arm("GIDD", 3.2, failures=dict.fromkeys(("train", "bound", "samples"), "out of memory"))
    half = make_arm("MD4", 3.1) + make_arm("MD4", 3.1, seed=1, failures={"train": "loss is nan"})
    speed = cost_rows("AR", 0, tokens_per_second=1000.0)
    record = make_record(make_arm("AR", 2.7, "exact"), half, lost, speed, state="incomplete")
    assert describe_missing(record, "train") == "Without a result: MD4 (1 of 2 seeds failed), GIDD (failed)."
    assert describe_missing(record, "bound") == "Without a result: GIDD (failed)."
    assert describe_missing(make_record(make_arm("AR", 2.7, "exact")), "train", "bound") == ""
    for plot in (plot_curves, plot_cost):
        svg = plot(record, tmp_path)[0].read_text()
        assert "Without a result: MD4 (1 of 2 seeds failed), GIDD (failed)." in svg
    assert svg.count(">GIDD<") == 1, "an empty line"


def test_each_way_of_drawing_has_a_marker_of_its_own() -> None:
    rows = [row | {"way": way} for way in ("8 calls", "16 calls") for row in cost_rows("A", 0, seconds_per_sequence=1)]
    assert list(tabulate_cost(make_record(rows))["way"]) == ["8 calls", "16 calls"]


def test_nothing_is_drawn_where_nothing_was_recorded(tmp_path: Path) -> None:
    old = make_record(make_arm("A", 3.0))
    assert plot_bound_density(old, tmp_path) == plot_cost(old, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert "peak_memory_bytes" not in {column.metric for column in list_fairness(old)}
    assert describe_cost_panels(old) == "There is no panel by FLOPs or seconds, which the record lacks."
    reports.write_report(old, tmp_path)
    svg, page = (tmp_path / "curves.svg").read_text(), (tmp_path / "index.html").read_text()
    assert "training tokens" in svg
    assert "FLOPs" not in svg
    assert 'aria-label="Speed and memory' not in page


def test_a_panel_stands_for_each_thing_that_bounds_lie_along(tmp_path: Path) -> None:
    common = {"seed": 0, "standard_error": 0.1, "n": 8, "clusters": 0}
    bins = [(0.0, 0.5, 1.0), (0.5, 1.0, 3.0)]
    arms = {"A": ("mdlm", "masked"), "B": ("udlm", "t"), "C": ("gidd", "t")}
    rows = [
        {"arm": arm, "method": method, "along": along, "low": low, "high": high, "value": value, **common}
        for arm, (method, along) in arms.items()
        for low, high, value in bins
    ]
    record = replace(make_record(*(make_arm(arm, 3.0) for arm in arms)), profiles=pd.DataFrame(rows, columns=PROFILE))
    svg = plot_bound_density(record, tmp_path)[0].read_text()
    assert "share of masked positions" in svg
    assert "time t, from data to noise" in svg
    assert tabulate_density(record).groupby("arm")["nats_per_token"].sum().to_list() == [2.0] * 3


def test_a_profile_gets_no_surer_by_seeds_that_share_its_documents_and_noise() -> None:
    common = {"arm": "A", "method": "gidd", "along": "t", "low": 0.0, "high": 1.0, "n": 8, "clusters": 0}
    values = (1.0, 1.02, 1.04)  # whose mean has an error of 0.02 / sqrt(3)
    rows = [{**common, "seed": seed, "value": value, "standard_error": 0.1} for seed, value in enumerate(values)]
    one, all_of = (
        tabulate_density(replace(make_record(make_arm("A", 3.0)), profiles=pd.DataFrame(part, columns=PROFILE)))
        for part in (rows[:1], rows)
    )
    assert one["standard_error"].item() == 0.1
    assert all_of["standard_error"].item() == pytest.approx(math.hypot(0.1, 0.02 / math.sqrt(3)))


def test_old_results_have_no_profile(runs: Path, tmp_path: Path) -> None:
    (place,) = (path for path in runs.glob("cells/*/bound-*/result.json") if json.loads(path.read_text())["profile"])
    kept = place.read_text()
    place.write_text(json.dumps({name: each for name, each in json.loads(kept).items() if name != "profile"}))
    record: SuiteRecord = read(runs, "plots")
    place.write_text(kept)
    assert record.profiles.empty
    assert plot_bound_density(record, tmp_path) == []


def test_an_incomplete_report_is_stamped_and_accepted_only_where_that_is_asked_for(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, page = runs.parent / "plots.yaml", runs / "reports" / "plots" / "index.html"
    asked = ["report", str(suite), "--runs", str(runs)]
    (place,) = (path for path in runs.glob("cells/*/bound-*/result.json") if json.loads(path.read_text())["profile"])
    kept = place.rename(place.with_name("kept.json"))
    try:
        assert main(asked) == INCOMPLETE
        assert "--allow-incomplete" in capsys.readouterr().err
        assert main([*asked, "--allow-incomplete"]) == DONE
    finally:
        kept.rename(place)
    assert "--allow-incomplete" not in capsys.readouterr().err
    told = page.read_text()
    assert '<p class="stamp" role="status">Incomplete: 1 of 2 cells are done, 1 missing.</p>' in told
    assert "missing: no result yet (bound, seed 0)" in told
