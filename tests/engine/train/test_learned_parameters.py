"""What a method learned beside the network, from the checkpoint to the record, the tidy table, MLflow and the page."""

import json
import math
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from mlflow.utils.validation import _validate_metric_name
from pydantic import TypeAdapter

import reports
from bench.cli.main import main
from bench.engine.data import DataSpec, load
from bench.engine.data.token_names import make_visible, name_tokens
from bench.engine.stages import train_model
from bench.engine.stages.context import StageContext
from bench.engine.stages.train_model import TrainStage
from bench.launch.exit_codes import DONE
from bench.launch.worker import Worker
from bench.results import mlflow_tracking as tracking
from bench.results.suite_record import LEARNED, read
from bench.results.tidy_table import COLUMNS
from reports.figures.learned_parameters import (
    END_TOKENS,
    average_seeds,
    choose_tokens,
    draw_learned,
    find_meaning,
    plot_learned,
)
from tests.conftest import TINY
from tests.support.changed_records import rewrite
from tests.support.report_records import make_arm, make_record

TEXT = "Is it?\n\\a/b.c: [d] e-f_g 'é'\n" * 60
NAMES = ["\\n", "␣", *"'-./:?I[\\]_abcdefgist", "é"]  # the characters of the text by code point
SEEDS = (0, 1)
SUITE = (
    re.sub(r"data: .*", "data: {source: text-file, path: odd.txt, length: 12}", TINY)
    .replace("{label: AR, method: ar}", "{label: GenMD4, method: genmd4}")
    .replace("{label: MDLM, method: mdlm}", "{label: Plaid, method: plaid}")
    .replace("seeds: [0]", f"seeds: {list(SEEDS)}")
    .replace("batch_size: 8,", "batch_size: 8, learning_rate: 0.05,")
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The finished runs of two methods that learn something, on a text with signs of every kind."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "odd.txt").write_text(TEXT, encoding="utf-8")
    (folder / "learned.yaml").write_text(SUITE)
    assert main(["run", str(folder / "learned.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def find_train(runs: Path, arm: str, seed: int = 0) -> Path:
    """The folder of a cell's training."""
    plan = json.loads((runs / "suites" / "learned.json").read_text())
    cell = next(cell for cell in plan["cells"] if (cell["arm"], cell["seed"]) == (arm, seed))
    return runs / "cells" / cell["id"] / "train"


def powers(weights: dict) -> list[float]:
    """The powers of GenMD4 in a checkpoint's weights."""
    return F.softplus(weights["method.raw"].double()).tolist()


def test_the_record_holds_the_averaged_values_by_the_names_of_the_tokens(runs):
    state = torch.load(find_train(runs, "GenMD4") / "checkpoint.pt", weights_only=True)
    learned = json.loads((find_train(runs, "GenMD4") / "result.json").read_text("utf-8"))["learned"]
    assert list(learned["power"]) == NAMES
    assert list(learned["power"].values()) == powers(state["ema"]) != powers(state["model"])
    ends = torch.load(find_train(runs, "Plaid") / "checkpoint.pt", weights_only=True)["ema"]["method.schedule.ends"]
    learned = json.loads((find_train(runs, "Plaid") / "result.json").read_text())["learned"]
    assert learned == {"gamma_start": float(ends[0]), "gamma_end": float(ends[1])}


def test_what_was_learned_is_in_the_tidy_table(runs):
    record = read(runs, "learned")
    assert list(record.table) == list(COLUMNS)
    for seed in SEEDS:
        weights = torch.load(find_train(runs, "GenMD4", seed) / "checkpoint.pt", weights_only=True)["ema"]
        rows = record.table[(record.table["arm"] == "GenMD4") & (record.table["seed"] == seed)].set_index("metric")
        assert rows.loc[[f"power[{name}]" for name in NAMES], "value"].tolist() == powers(weights)
    found = record.table[record.table["metric"].str.startswith(("power", "gamma"))]
    assert set(found["stage"]) == {"train"}
    assert set(found["metric"][found["arm"] == "Plaid"]) == {"gamma_start", "gamma_end"}
    assert len(found) == len(SEEDS) * (len(NAMES) + 2)


def test_mlflow_holds_what_was_learned(runs):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("learned")
    assert experiment is not None
    held = {
        (run.data.params["arm"], run.data.params["seed"]): run.data.metrics
        for run in client.search_runs([experiment.experiment_id], "tags.bench.cell LIKE '%'")
    }
    metrics = read(runs, "learned").table.query("arm == 'GenMD4' and seed == 0").set_index("metric")["value"]
    found = {name.removeprefix("train/power/"): value for name, value in held["GenMD4", "0"].items() if "power" in name}
    assert len(found) == len(NAMES)
    for token, spelt in {
        "a": "a",
        "I": "I",
        "␣": ":space:",
        "\\n": ":backslash:n",
        "]": ":right square bracket:",
    }.items():
        assert found[spelt] == metrics[f"power[{token}]"]
    assert {"train/gamma_start", "train/gamma_end"} <= set(held["Plaid", "1"])


def test_a_store_allows_the_names_of_all_signs_and_tells_them_apart():
    signs = [chr(code) for code in range(0x3000) if chr(code) != "␣"]
    tokens = [make_visible(sign) for sign in [*signs, "a b", "..", "[]", "/"]]
    spelt = [f"train/{tracking.metric_name(f'power[{token}]')}" for token in tokens]
    for name in spelt:
        _validate_metric_name(name)
    assert len(set(spelt)) == len(spelt) - 1  # "/" stands there twice


@pytest.mark.parametrize("level", ["char", "byte"])
def test_no_two_tokens_share_a_name(level, tmp_path):
    (tmp_path / "text.txt").write_text("a ␣\t\x01\u0301\N{REPLACEMENT CHARACTER}ä" * 40, encoding="utf-8")
    spec = TypeAdapter(DataSpec).validate_python(
        {"source": "text-file", "path": "text.txt", "length": 8, "level": level}
    )
    names = name_tokens(load(spec, tmp_path, tmp_path / "cache"))
    if level == "char":
        assert names == ["\\x01", "\\t", "id 2", "a", "ä", "\\u0301", "id 6", "id 7"]
    else:
        assert len(set(names)) == 256
        assert (names[ord(" ")], names[ord("a")], names[0xC3]) == ("␣", "a", "id 195")


def find_words(svg: str) -> list[str]:
    """The texts of a drawing."""
    return [
        "".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("text")
    ]


def test_the_figure_names_every_token_and_stands_on_the_page(runs):
    folder = runs / "reports" / "learned"
    words = find_words((folder / "learned.svg").read_text("utf-8"))
    assert set(NAMES) <= set(words)
    assert f"GenMD4 (mean of {len(SEEDS)} seeds)" in words
    assert not any("Plaid" in word for word in words)
    html = (folder / "index.html").read_text("utf-8")
    assert {'href="#learned"', 'id="learned"'} <= set(re.findall(r'(?:href|id)="#?learned"', html))
    assert find_meaning("power").sentence in html
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(set(ids)) == len(ids)


def test_the_csv_holds_the_mean_over_the_seeds_with_its_error(runs):
    found = pd.read_csv(runs / "reports" / "learned" / "learned.csv", keep_default_na=False)
    one, other = (
        json.loads((find_train(runs, "GenMD4", seed) / "result.json").read_text("utf-8"))["learned"]["power"]
        for seed in SEEDS
    )
    assert list(found["token"]) == NAMES
    assert (found["seeds"] == len(SEEDS)).all()
    assert found["value"].to_numpy() == pytest.approx([(one[name] + other[name]) / 2 for name in NAMES])
    assert found["standard_error"].to_numpy() == pytest.approx([abs(one[name] - other[name]) / 2 for name in NAMES])


def test_above_one_is_masked_later():
    from methods import build

    method = build("genmd4", 2)
    method.raw.data = torch.tensor([0.0, 2.0])
    low, high = method.learned()["power"]
    assert low < 1 < high
    masked = method.hidden(torch.tensor([0.5], dtype=torch.float64))[0]
    assert masked[1] < masked[0]
    assert "above 1 is masked later" in find_meaning("power").sentence


def test_where_nothing_was_learned_there_is_no_figure(tmp_path):
    reports.write_report(make_record(make_arm("AR", 2.7, "exact")), tmp_path)
    assert not list(tmp_path.glob("learned.*"))
    assert "Learned by token" not in (tmp_path / "index.html").read_text("utf-8")


def edit(runs: Path, folder: Path, change) -> Path:
    """A copy of the runs in which every result of a training went through `change`."""
    copy = Path(shutil.copytree(runs, folder / "runs"))
    for path in copy.glob("cells/*/train/result.json"):
        result = json.loads(path.read_text("utf-8"))
        change(result)
        rewrite(path, result)
    return copy


def test_results_without_it_still_load(runs, tmp_path):
    record = read(edit(runs, tmp_path, lambda result: result.pop("learned")), "learned")
    assert record.learned.empty
    assert not record.table["metric"].str.startswith(("power", "gamma")).any()
    assert record.state == "complete"


def test_a_large_vocabulary_is_summed_up_in_the_tidy_table_and_whole_in_the_record(runs, tmp_path):
    def enlarge(result):
        if "power" in result["learned"]:
            result["learned"]["power"] = {f"word{i}": 0.5 + i / 1000 for i in range(1001)}

    record = read(edit(runs, tmp_path, enlarge), "learned")
    rows = record.table[record.table["metric"].str.startswith("power")].query("seed == 0").set_index("metric")["value"]
    assert dict(rows) == pytest.approx({"power_min": 0.5, "power_mean": 1.0, "power_max": 1.5})
    assert len(record.learned) == 1001 * len(SEEDS)
    figure, *_, numbers = plot_learned(record, tmp_path)
    words = find_words(figure.read_text("utf-8"))
    shown = {f"word{i}" for i in (*range(END_TOKENS), *range(1001 - END_TOKENS, 1001))}
    assert {word for word in words if word.startswith("word")} == shown
    assert "961" in words  # that are left out
    assert len(pd.read_csv(numbers)) == 1001


def make_learned(tokens: list[str], values: list[float]) -> pd.DataFrame:
    rows = [("A", "genmd4", 0, "power", token, value) for token, value in zip(tokens, values, strict=True)]
    return pd.DataFrame(rows, columns=LEARNED)


def test_tokens_stand_from_the_highest_to_the_lowest_on_stems_from_where_they_started():
    record = make_record(make_arm("A", 3.0, method="genmd4"), learned=make_learned(["a", "$", "c"], [0.9, 1.2, 1.1]))
    numbers = average_seeds(record)
    shown, left = choose_tokens(numbers)
    assert (list(shown["token"]), left) == (["$", "c", "a"], 0)
    assert numbers["standard_error"].isna().all()  # one seed shows no variance
    axes = draw_learned(numbers).axes[0]
    stems = [segment[:, 1].tolist() for lines in axes.collections for segment in lines.get_segments()]
    assert stems == [[1.0, 1.2], [1.0, 1.1], [1.0, 0.9]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["$", "c", "a"]


@pytest.mark.usefixtures("every_format")
def test_the_same_record_gives_the_same_figure(runs, tmp_path):
    record = read(runs, "learned")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        plot_learned(record, tmp_path / name)
    for ending in ("svg", "png", "pdf", "csv"):
        one, two = ((tmp_path / name / f"learned.{ending}").read_bytes() for name in ("one", "two"))
        assert one == two != b""


def test_the_figure_follows_the_reader_into_the_dark(runs):
    svg = (runs / "reports" / "learned" / "learned.svg").read_text("utf-8")
    assert "prefers-color-scheme:dark" in svg
    assert not re.search(r"#000000|#1d2026[^}]", svg)


def test_hostile_names_are_shown_and_not_acted_on(tmp_path):
    evil = '<g id="x"><script>alert(1)</script>'
    arm = make_arm(evil, 3.0, method="genmd4")
    learned = make_learned([evil, "b"], [1.1, math.nextafter(1.0, 0)]).assign(arm=evil)
    html = reports.write_report(make_record(arm, learned=learned), tmp_path)[-1].read_text("utf-8")
    assert html.count("<script") == 1  # the page's own
    assert set(find_words((tmp_path / "learned.svg").read_text("utf-8"))) >= {evil, "b"}


def test_no_place_is_shared_where_tokens_are_left_out():
    tokens = [f"word{i}" for i in range(100)]
    shown, left = choose_tokens(
        average_seeds(make_record(learned=make_learned(tokens, np.linspace(0, 2, 100).tolist())))
    )
    assert (len(shown), left) == (2 * END_TOKENS, 100 - 2 * END_TOKENS)
    assert shown["place"].is_unique
    assert shown["place"].is_monotonic_increasing


def test_a_worker_that_was_killed_before_its_result_finds_the_same(runs, tmp_path):
    train = find_train(edit(runs, tmp_path, lambda result: None), "GenMD4")
    held = json.loads((train / "result.json").read_text("utf-8"))["learned"]
    context = StageContext(Worker(train.parent).cell, train)
    assert train_model.run(context, TrainStage()).learned == held
