"""Paired differences of recorded cells: what is subtracted from what, and what cannot be paired."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import reports
from bench.cli.main import main
from bench.engine.records import BoundResult, Stage, StoredCell
from bench.engine.storage import cell_folder, digest, write_json, write_record
from bench.launch.exit_codes import DONE
from bench.results.recorded_cell import RecordedCell
from bench.results.statistics.paired_differences import COLUMNS, pair
from bench.results.statistics.significance_tests import LEVEL, half_width
from bench.results.statistics.verdicts import BETTER, NO_VERDICT, SAME, TIED, WORSE, summarize
from bench.results.suite_record import read
from tests.conftest import TINY

LENGTH, DOCUMENTS = 8, 20
PROTOCOL = "exactly k masked, 16 antithetic draws x 2, noise 0; test packed without overlap; averaged weights; float32"
BOUND = Stage(name="bound", id="000000000001")
EXACT = "exact likelihood; test packed without overlap; averaged weights; float32"
SETTINGS = {"split": "test", "draws": 16, "replicates": 2, "seed": 0, "sequences": None}
Nats = np.ndarray[Any, np.dtype[np.float64]]


def id_of(name: str) -> str:
    """The id of the cell that a test calls by a name, such as A-0."""
    return digest({"cell": name})


def write_bound(
    runs: Path, name: str, nats: Nats, settings: Any = None, protocol: str = PROTOCOL, **others: str
) -> None:
    """The stage `bound` of a cell as a worker leaves it, in two parts; nats [documents, replicates]."""
    folder = cell_folder(runs, id_of(name)) / BOUND.folder
    environment = {"precision": "float32", **others}
    result = {"settings": SETTINGS | (settings or {}), "protocol": protocol, "environment": environment}
    write_record(folder / "result.json", BoundResult.model_validate(result))
    np.savez(folder / "sequences.npz", integral=nats - 1.0, last_guess=np.ones_like(nats))


def make_cell(arm: str, seed: int = 0, base: str | None = None, name: str = "", **data: Any) -> StoredCell:
    """A cell of a suite's record."""
    return StoredCell(
        id=id_of(name or f"{arm}-{seed}"),
        arm=arm,
        method="mdlm",
        seed=seed,
        base=base,
        stages=(Stage(name="train", id=BOUND.id), BOUND),
        science={"data": {"source": "markov", "length": LENGTH, "fingerprint": "f", **data}},
    )


def pair_cells(runs: Path, *cells: StoredCell, level: str = "char") -> pd.DataFrame:
    """The pairs of cells whose results are under a folder."""
    return pair([RecordedCell(cell, cell_folder(runs, cell.id)) for cell in cells], level)


def pairs_of(pairs: pd.DataFrame, metric: str = "nats_per_token") -> list[Any]:
    return list(pairs[pairs["metric"] == metric].itertuples())


@pytest.fixture
def nats() -> Callable[..., Nats]:
    """Draw the nats of documents [documents, replicates]: very different documents, shared by all calls, and noise."""
    rng = np.random.default_rng(3)
    documents, noise = rng.normal(24, 8, (DOCUMENTS, 1)), rng.normal(0, 2, (DOCUMENTS, 2))

    def draw(shift: Any = 0.0, shared: float = 1.0) -> Nats:
        return documents + shared * noise + (1 - shared) * rng.normal(0, 2, (DOCUMENTS, 2)) + shift

    return draw


def test_what_arm_and_base_have_in_common_drops_out(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    shift = np.linspace(0.4, 1.2, DOCUMENTS)[:, None]
    write_bound(tmp_path, "A-0", nats())
    write_bound(tmp_path, "B-0", nats(shift))
    pairs = pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A"))
    (row,) = pairs_of(pairs)
    assert (row.arm, row.base, row.seed, row.n, row.reason, row.unlike) == ("B", "A", 0, DOCUMENTS, "", "")
    assert row.value == pytest.approx(shift.mean() / LENGTH)
    assert row.standard_error == pytest.approx(shift.std(ddof=1) / math.sqrt(DOCUMENTS) / LENGTH)
    assert row.monte_carlo_error == pytest.approx(0.0, abs=1e-12)
    (bits,) = pairs_of(pairs, "bits_per_char")
    assert bits.value == pytest.approx(row.value / math.log(2))
    assert bits.standard_error == pytest.approx(row.standard_error / math.log(2))
    assert pairs_of(pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A"), level="byte"), "bits_per_byte")


def test_noise_that_is_not_shared_stays_in_both_errors(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    write_bound(tmp_path, "A-0", nats())
    write_bound(tmp_path, "B-0", nats(0.5, shared=0.0))
    (row,) = pairs_of(pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A")))
    expected = math.sqrt(2 * 2**2 / 2 / DOCUMENTS) / LENGTH  # two arms, a deviation of 2, two replicates
    assert row.monte_carlo_error == pytest.approx(expected, rel=0.4)
    assert row.standard_error == pytest.approx(expected, rel=0.4)


def test_an_exact_base_has_one_replicate_and_no_noise(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    write_bound(tmp_path, "A-0", nats().mean(1, keepdims=True), protocol=EXACT)
    write_bound(tmp_path, "B-0", nats(0.5))
    (row,) = pairs_of(pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A")))
    assert row.value == pytest.approx(0.5 / LENGTH)
    assert row.monte_carlo_error > 0
    assert (
        row.unlike
        == "exactly k masked, 16 antithetic draws x 2 replicates, noise seed 0; of the base: exact likelihood"
    )


@pytest.mark.parametrize(
    ("settings", "others", "data", "reason"),
    [
        ({"draws": 4}, {}, {}, "not paired: draws 4, but base A has 16"),
        ({"replicates": 4}, {}, {}, "not paired: replicates 4, but base A has 2"),
        ({"split": "valid"}, {}, {}, "not paired: split valid, but base A has test"),
        ({"seed": 1}, {}, {}, "not paired: noise seed 1, but base A has 0"),
        ({}, {}, {"fingerprint": "g"}, "not paired: data g, but base A has f"),
        ({}, {}, {"length": 16}, "not paired: tokens per document 16, but base A has 8"),
    ],
)
def test_other_protocols_are_not_paired(settings, others, data, reason, tmp_path, nats) -> None:
    write_bound(tmp_path, "A-0", nats())
    write_bound(tmp_path, "B-0", nats(), settings, **others)
    for row in pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A", **data)).itertuples():
        assert (row.reason, math.isnan(row.value)) == (reason, True)


@pytest.mark.parametrize(
    ("others", "mix"),
    [
        ({"precision": "bfloat16"}, "made in bfloat16; the base in float32"),
        ({"device": "NVIDIA H200"}, "made on cuda; the base on cpu; noise is not shared between devices"),
        ({"attention": "flash"}, "made with attention: flash; the base with attention: sdpa"),
        ({"tf32": "high"}, ""),  # unknown of the base
        ({}, ""),
    ],
)
def test_what_was_made_in_another_way_is_paired_and_says_so(others, mix, tmp_path, nats) -> None:
    usual = {"device": "cpu", "attention": "sdpa"}
    write_bound(tmp_path, "A-0", nats(), **usual)
    write_bound(tmp_path, "B-0", nats(0.5), **(usual | others))
    (row,) = pairs_of(pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A")))
    assert (row.mix, row.reason) == (mix, "")
    assert row.value == pytest.approx(0.5 / LENGTH)


def test_fewer_documents_are_not_paired(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    write_bound(tmp_path, "A-0", nats())
    write_bound(tmp_path, "B-0", nats()[:5])
    (row,) = pairs_of(pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A")))
    assert row.reason == f"not paired: documents 5, but base A has {DOCUMENTS}"


def test_what_is_not_there_is_a_row_with_its_reason(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    write_bound(tmp_path, "A-0", nats())
    write_json(cell_folder(tmp_path, id_of("B-0")) / "train" / "failure.json", {"reason": "loss is nan"})
    cells = [
        make_cell("B", base="A"),
        make_cell("C", base="A"),
        make_cell("A", 1, "nobody"),
        make_cell("D", 1, base="B"),
    ]
    rows = pairs_of(pair_cells(tmp_path, make_cell("A"), *cells))
    reasons = {row.arm: row.reason for row in rows}
    assert reasons["B"] == "not paired: train of B, seed 0 failed: loss is nan"
    assert reasons["C"] == "not paired: bound of C, seed 0 is missing"
    assert 'no arm is called "nobody"' in reasons["A"]
    assert 'base "B" has no seed 1' in reasons["D"]
    summary = summarize(pair_cells(tmp_path, make_cell("A"), *cells), "bits_per_char")
    assert set(summary["seeds"]) == {0}
    assert set(summary["verdict"]) == {""}


def test_a_file_that_is_cut_off_is_told_with_its_way_out(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    write_bound(tmp_path, "A-0", nats())
    path = cell_folder(tmp_path, id_of("A-0")) / BOUND.folder / "sequences.npz"
    path.write_bytes(path.read_bytes()[:100])
    (reason,) = set(pair_cells(tmp_path, make_cell("A"), make_cell("B", base="A"))["reason"])
    id = id_of("A-0")
    assert f"bound of A, seed 0 failed: cells/{id}/{BOUND.folder}/sequences.npz cannot be read" in reason
    assert "bench run --retry-failed makes it again" in reason


def test_seeds_are_paired_with_their_own_and_share_their_documents(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    shifts = {0: 0.8, 1: 1.6, 2: 1.2}
    for seed, shift in shifts.items():
        write_bound(tmp_path, f"A-{seed}", nats(10.0 * seed))
        of_documents = np.where(np.arange(DOCUMENTS) % 2, 0.5, -0.5)[:, None]
        write_bound(tmp_path, f"B-{seed}", nats(10.0 * seed + shift + of_documents))
    cells = [cell for seed in shifts for cell in (make_cell("A", seed), make_cell("B", seed, "A"))]
    pairs = pair_cells(tmp_path, *cells, make_cell("B", 3, "A"))
    rows = pairs_of(pairs)
    assert [row.value * LENGTH for row in rows[:3]] == pytest.approx(list(shifts.values()))
    error = 0.5 / math.sqrt(DOCUMENTS - 1) / LENGTH  # the same in every seed: it does not average out
    assert [row.clustered_error for row in rows[:3]] == pytest.approx([error] * 3)
    assert 'base "A" has no seed 3' in rows[3].reason
    (delta,) = summarize(pairs, "nats_per_token").itertuples()
    seeds_error = 0.4 / math.sqrt(3) / LENGTH
    assert (delta.seeds, delta.planned, delta.documents) == (3, 4, DOCUMENTS)
    assert (delta.seeds_error, delta.documents_error) == (pytest.approx(seeds_error), pytest.approx(error))
    half = math.hypot(half_width(seeds_error, 3), half_width(error, DOCUMENTS))
    assert (delta.value - delta.low, delta.high - delta.value) == (pytest.approx(half), pytest.approx(half))
    assert (delta.p, delta.verdict) == (0.25, WORSE)
    assert delta.reach.startswith("p < 0.05 is out of reach with 3 seeds")


def test_one_cell_under_two_labels_is_the_same_training(tmp_path: Path, nats: Callable[..., Nats]) -> None:
    cells = []
    for seed in range(2):
        write_bound(tmp_path, f"one-{seed}", nats(seed))
        cells += [make_cell("A", seed, name=f"one-{seed}"), make_cell("B", seed, "A", name=f"one-{seed}")]
    (delta,) = summarize(pair_cells(tmp_path, *cells), "nats_per_token").itertuples()
    assert (delta.value, delta.low, delta.high, delta.verdict) == (0.0, 0.0, 0.0, SAME)
    assert math.isnan(delta.p)


def make(values: Nats, arm: str = "B", base: str = "A", error: float = 0.0, metric: str = "nats_per_token") -> Any:
    """The pairs of an arm by hand."""
    common = {"arm": arm, "base": base, "metric": metric, "n": 100, "clustered_error": error}
    return [{**COLUMNS, **common, "seed": seed, "value": value} for seed, value in enumerate(values)]


def test_arms_that_do_not_differ_are_told_apart_once_in_twenty_tries() -> None:
    """Eight seeds, whose documents have a difference of their own: neither source of chance makes more false wins."""
    rng = np.random.default_rng(5)
    tries, count = 400, 0
    for _ in range(tries):
        differences = rng.normal(0, 0.1, 100) + rng.normal(0, 0.02, (8, 1)) + rng.normal(0, 0.05, (8, 100))
        error = differences.mean(0).std(ddof=1) / math.sqrt(100)
        (delta,) = summarize(pd.DataFrame(make(differences.mean(1), error=error)), "nats_per_token").itertuples()
        count += delta.verdict != TIED
    assert count / tries < LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / tries)


def test_bases_and_arms_keep_their_order_and_their_places() -> None:
    sure = {"x": [0.30, 0.301, 0.302], "y": [-0.1, -0.101, -0.102], "z": [0.3, 0.302, 0.301]}
    rows = [row for arm, values in sure.items() for row in make(np.array(values), arm)]
    rows += make(np.array([0.5]), "w", "other", error=0.01) + make(np.array([0.0, 0.001, -0.001]), "v")
    deltas = summarize(pd.DataFrame(rows), "nats_per_token").set_index("arm")
    assert list(deltas.index) == ["x", "y", "z", "v", "w"]
    assert deltas["verdict"].to_dict() == {"x": WORSE, "y": BETTER, "z": WORSE, "v": TIED, "w": NO_VERDICT}
    places = deltas[["rank_best", "rank_worst"]].dropna().apply(tuple, axis=1).to_dict()  # one seed has no rank
    assert places == {"y": (1, 1), "v": (2, 3), "x": (4, 5), "z": (4, 5)}  # of five, the base among them
    assert deltas.loc["w", "p"] != deltas.loc["w", "p"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of an arm and its base, with one seed."""
    folder = tmp_path_factory.mktemp("pairs")
    text = TINY.replace("{label: AR, method: ar}", "{label: MD4, method: md4, base: MDLM}")
    (folder / "tiny.yaml").write_text(text)
    assert main(["run", str(folder / "tiny.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def test_a_run_is_paired_document_by_document(ran: Path) -> None:
    record = read(ran, "tiny")
    bounds = record.table[(record.table["stage"] == "bound") & (record.table["metric"] == "bits_per_char")]
    values = bounds.set_index("arm")["value"]
    (row,) = pairs_of(record.pairs, "bits_per_char")
    assert (row.arm, row.base, row.n, row.unlike, row.reason) == ("MD4", "MDLM", 16, "", "")
    assert row.value == pytest.approx(values["MD4"] - values["MDLM"])
    unpaired = math.hypot(*bounds["standard_error"])
    assert row.standard_error < 0.5 * unpaired  # two networks that have learned next to nothing: what is left is noise
    assert read(ran, "tiny", only=record.table["cell"].iloc[0]).pairs.empty


def test_a_run_ends_in_its_table_and_its_figure(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports.report({"": read(ran, "tiny")}, ran / "page", verbose=True)
    assert "tiny: differences from the base" in capsys.readouterr().out
    assert "MDLM (base)" in (ran / "page" / "deltas.md").read_text()
    assert 'id="deltas"' in (ran / "page" / "index.html").read_text()
    assert (ran / "page" / "forest.svg").exists()
