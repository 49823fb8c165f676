"""Several estimates of one bound, from a run to its report."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from bench.cli.main import main
from bench.engine import storage
from bench.engine.likelihood.bound import PARTS
from bench.engine.likelihood.metrics import mean_nats
from bench.engine.likelihood.standard_error import find_runs
from bench.engine.records import Stage
from bench.launch.exit_codes import DONE
from bench.results.recorded_cell import RecordedCell, recorded_cells
from bench.results.statistics.paired_differences import minus_headline
from bench.results.suite_record import read
from reports.tables.estimators import build_estimators
from tests.engine.likelihood.test_estimators import SUITE


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("estimators")
    (folder / "suite.yaml").write_text(SUITE.replace("  - {label: AR, method: ar}\n", ""))
    assert main(["run", str(folder / "suite.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def recorded(runs: Path) -> RecordedCell:
    """The first cell of the arm MDLM."""
    suite = storage.read_suite(runs, "suite")
    assert suite is not None
    return next(cell for cell in recorded_cells(runs, suite) if cell.arm == "MDLM")


def test_further_estimates_are_rows_of_their_own(runs):
    table = bench.load(runs)
    found = table[(table["arm"] == "MDLM") & (table["seed"] == 0) & (table["metric"] == "nats_per_token")]
    found = found[found["stage"].isin(["bound", "estimate"])]
    assert list(found["way"]) == [
        "exactly k masked, 4 draws x 2 replicates",
        "stratified t, 4 draws x 2 replicates",
        "independent t, 8 draws x 3 replicates",
    ]
    assert list(found["stage"]) == ["bound", "estimate", "estimate"]
    assert found["protocol"].str.split(";").str[0].tolist() == [
        "exactly k masked, 4 antithetic draws x 2 replicates, noise seed 0",
        "stratified t with prior and reconstruction loss, 4 antithetic draws x 2 replicates, noise seed 0",
        "independent t with prior and reconstruction loss, 8 draws x 3 replicates, noise seed 0",
    ]
    deviations = table[table["metric"] == "estimator_sd"]
    assert len(deviations) == 2 * 3
    assert (deviations["standard_error"] > 0).all()
    assert (deviations["n"] == 16).all()
    assert set(deviations["unit"]) == {"nats/token"}


def test_a_difference_from_the_headline_is_paired_by_documents_and_by_replicates_where_there_are_as_many(
    runs, monkeypatch
):
    cell = recorded(runs)
    _, headline, alike, more = cell.stages
    one, other, third = (read_nats(cell, stage) for stage in (headline, alike, more))
    assert minus_headline(cell, alike) == mean_nats({"": other - one}, 12)
    with monkeypatch.context() as running:  # as if its sequences were cut from a text
        running.setattr("bench.results.statistics.paired_differences.clusters_of", lambda source, n: find_runs(n))
        for stage, nats in ((alike, other), (more, third.mean(1)[:, None])):
            difference = minus_headline(cell, stage)
            assert difference is not None
            expected = mean_nats({"": nats - (one if stage is alike else one.mean(1)[:, None])}, 12, find_runs(16))
            assert (difference.standard_error, difference.clusters) == (pytest.approx(expected.standard_error), 4)
    found = minus_headline(cell, more)
    assert found is not None
    assert found.value == pytest.approx(float(third.mean() - one.mean()) / 12)
    noise = [mean_nats({"": nats}, 12).monte_carlo_error for nats in (one, third)]
    assert found.monte_carlo_error == pytest.approx(math.hypot(*noise))
    table = bench.load(runs).query("arm == 'MDLM' and seed == 0 and metric == 'minus_headline'")
    assert table["value"].iloc[1] == pytest.approx(found.value)


def read_nats(cell: RecordedCell, stage: Stage) -> torch.Tensor:
    with np.load(cell.folder / stage.folder / "sequences.npz") as parts:
        return torch.from_numpy(sum(parts[name] for name in PARTS))


def test_the_table_of_estimators_compares_at_equal_calls(runs):
    found = read(runs, "suite")
    table = build_estimators(found)
    assert table is not None
    assert [row.label for row in table.rows] == [
        f"{arm}: {way}"
        for arm in ("MDLM", "SEDD")
        for way in (
            "exactly k masked, 4 draws x 2 replicates",
            "stratified t, 4 draws x 2 replicates",
            "independent t, 8 draws x 3 replicates",
        )
    ]
    titles = [column.metric for column in table.columns]
    ratios = [row.entries[titles.index("variance_ratio")] for row in table.rows]
    assert [cell.estimate is None for cell in ratios] == [True, False, False] * 2
    rows = found.table[found.table["arm"] == "MDLM"].set_index(["metric", "way"])["value"]
    first, other = (
        rows["estimator_sd", way]
        for way in ("exactly k masked, 4 draws x 2 replicates", "stratified t, 4 draws x 2 replicates")
    )
    assert ratios[1].estimate is not None
    assert ratios[1].estimate.value == pytest.approx(other**2 * 5 / (first**2 * 4))
    signs = {sign for sign, _ in table.footnotes}
    assert "±" in signs
    assert signs & {"†", "<="}  # without a certificate, or with one


def test_a_lost_estimate_stands_in_the_row_of_the_way_that_it_was_to_be_made(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    cell = recorded(tmp_path / "runs")
    for stage in cell.stages[1:]:
        (cell.folder / stage.folder / "result.json").unlink()
    whole, torn = (build_estimators(read(folder, "suite")) for folder in (runs, tmp_path / "runs"))
    assert [row.label for row in torn.rows] == [row.label for row in whole.rows]
    assert [row.status for row in torn.rows] == ["missing"] * 3 + ["done"] * 3


def test_more_seeds_of_the_same_documents_and_draws_make_a_deviation_no_surer(runs):
    found = read(runs, "suite")
    twice = pd.concat([found.table, found.table.assign(seed=1)], ignore_index=True)
    one, two = (build_estimators(each) for each in (found, replace(found, table=twice)))
    for place, metric in enumerate(column.metric for column in one.columns):
        if metric in ("estimator_sd", "variance_ratio"):
            errors = [[row.entries[place].error for row in table.rows] for table in (one, two)]
            assert errors[0] == errors[1]
            assert any(errors[0])


def test_the_main_table_and_the_curves_know_the_headline_alone(runs):
    found = read(runs, "suite")
    numbers = pd.read_csv(runs / "reports" / "suite" / "table.csv")
    rows = found.table[(found.table["stage"] == "bound") & (found.table["metric"] == "bits_per_char")]
    for arm in ("MDLM", "SEDD"):
        score = numbers[(numbers["arm"] == arm) & (numbers["metric"] == "bits_per_char")]["value"].iloc[0]
        assert score == pytest.approx(rows.loc[rows["arm"] == arm, "value"].mean())
    page = (runs / "reports" / "suite" / "index.html").read_text()
    assert 'id="estimators"' in page
    assert (runs / "reports" / "suite" / "estimators.tex").exists()


def test_mlflow_holds_each_estimate_under_its_way(runs):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("suite")
    assert experiment is not None
    one = client.search_runs([experiment.experiment_id], "params.arm = 'MDLM' and params.seed = '0'")[0].data.metrics
    rows = (
        bench.load(runs).query("arm == 'MDLM' and seed == 0 and metric == 'nats_per_token'").set_index("way")["value"]
    )
    assert one["test/nats_per_token"] == pytest.approx(rows["exactly k masked, 4 draws x 2 replicates"])
    assert one["test/stratified t 4 draws x 2 replicates/nats_per_token"] == pytest.approx(
        rows["stratified t, 4 draws x 2 replicates"]
    )
