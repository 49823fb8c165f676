"""Rows are told apart by what they are: an arm may be called like a reference, a control or a word of a table."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import reports
from bench.engine.records import DataFacts
from bench.results.mlflow_tracking import _merge_controls
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.formats.text import tabulate
from reports.page.dataset_comparison import build_across, list_across
from reports.page.html_page import answer, list_protocols, list_samples
from reports.tables.arms import split_cells
from reports.tables.estimators import build_estimators
from reports.tables.main_table import build_main
from reports.tables.quality import build_quality
from reports.tables.samplers import build_samplers
from tests.reports.test_quality_table import CONTROLS, GOOD, make_controls, make_texts, make_way
from tests.support.report_records import LN2, make_arm, make_record

REFERENCES = ("uniform", "unigram", "entropy of the source", "source, same sequences")
WORDS = ("scorer", "controls", "control", "total", "suite", "all", "arm", "base", "Mean rank", "record", "reference")
FACTS = DataFacts(vocab_size=4, length=8, level="char", unigram_nats=1.3, entropy_nats=8.0)


def make_source() -> list[dict[str, object]]:
    """The source's own cost of the sequences that an arm "AR" was scored on."""
    source = {"metric": "source_nats_per_token", "value": 0.9, "standard_error": 0.01, "kind": "exact"}
    first = make_arm("AR", 2.1, "exact")
    bound = next(row for row in first if row["stage"] == "bound")
    return [*first, {**bound, **source}]


@pytest.mark.parametrize("label", [*REFERENCES, *WORDS, "uniform (reference)"])
def test_an_arm_with_the_name_of_a_reference_stands_beside_it(label: str) -> None:
    record = make_record(make_source(), make_arm(label, 3.0), make_arm("B", 3.5), data=FACTS)
    table = build_main(record)
    numbers = tabulate(table).set_index(["role", "arm", "metric"])["value"]
    assert numbers["arm", label, "bits_per_char"] == 3.0
    names = {row.reference: row.label for row in table.references}
    assert list(names) == list(REFERENCES), "no reference is lost"
    expected = {name: f"{name} (reference)" if name == label else name for name in REFERENCES}
    assert names == expected
    assert numbers["reference", names["uniform"], "bits_per_char"] == 2.0
    assert numbers["reference", names["uniform"], "perplexity"] == pytest.approx(4.0)
    assert numbers["reference", names["source, same sequences"], "bits_per_char"] == pytest.approx(0.9 / LN2)
    assert len({row.label for row in (*table.rows, *table.references)}) == 3 + 4
    for text in (format_markdown(table), format_latex(table), format_html(table)):
        assert all(text.count(name) for name in names.values())
    assert f"the entropy of the source is {8.0 / 8 / LN2:.3f}" in answer(table)


def test_a_reference_gives_way_until_its_name_is_its_own() -> None:
    record = make_record(make_arm("uniform", 3.0), make_arm("uniform (reference)", 3.5), data=FACTS)
    labels = [row.label for row in build_main(record).references]
    assert labels[0] == "uniform (reference) (reference)"


@pytest.mark.parametrize("label", [*CONTROLS, *WORDS])
@pytest.mark.parametrize("way", ["", "ancestral"])
def test_an_arm_with_the_name_of_a_control_stands_beside_it(label: str, way: str) -> None:
    seeds = [(make_texts(label, GOOD, way=way, seed=seed), make_way("B", GOOD, seed=seed)) for seed in (0, 1)]
    record = make_record(*(rows for pair in seeds for rows in pair), make_controls())
    table = build_quality(record, every_column=True)
    assert table is not None
    rows, controls = [row.label for row in table.rows], [row.label for row in table.references]
    assert rows == [f"{label}: ancestral" if way else label, "B: ancestral, 64 calls"]
    assert controls == [f"{kind} (control text)" if kind == label else kind for kind in CONTROLS]
    numbers = tabulate(table).set_index(["role", "arm", "metric"])["value"]
    assert numbers["arm", rows[0], "gen_ppl"] == pytest.approx(GOOD["gen_ppl"])
    assert [numbers["control", name, "gen_ppl"] for name in controls] == [v["gen_ppl"] for v in CONTROLS.values()]
    assert table.rows[0].entries[0].value != "", "an arm is compared with held-out text, and held-out text is not"
    assert table.references[0].entries[0].value == ""
    bold = next(note for _, note in table.footnotes if note.startswith("Bold"))
    assert bold.endswith(f"nearer to the row {controls[0]}.")


def test_ways_of_two_arms_that_read_alike_are_two_rows() -> None:
    ways = make_texts("A", GOOD, way="x: y"), make_texts("A: x", GOOD | {"gen_ppl": 31.0}, way="y")
    table = build_quality(make_record(*ways, make_controls()), every_column=True)
    assert table is not None
    assert [row.label for row in table.rows] == ["A: x: y", "A: x: y (another arm)"]
    assert set(tabulate(table).query("metric == 'gen_ppl' and role == 'arm'")["value"]) == {30.0, 31.0}

    def make_estimates(label: str, way: str, bits: float) -> list[dict[str, object]]:
        rows = [
            row | {"way": way, "metric": "nats_per_token"} for row in make_arm(label, bits) if row["stage"] == "bound"
        ]
        return [rows[0], rows[0] | {"stage": "estimate", "way": f"{way}, again"}]

    estimators = build_estimators(make_record(make_estimates("A", "x: y", 3.0), make_estimates("A: x", "y", 4.0)))
    assert estimators is not None
    assert len({row.label for row in estimators.rows}) == 4
    calls = {"stage": "samples", "metric": "network_calls", "value": 8.0}
    texts = [(arm, protocol) for arm, ends in (("A", ("x: y", "x: z")), ("A: x", ("y", "z"))) for protocol in ends]
    samplers = build_samplers(
        make_record([make_arm(arm, 3.0)[0] | calls | {"protocol": protocol} for arm, protocol in texts])
    )
    assert samplers is not None
    assert len({row.label for row in samplers.rows}) == 4


def test_texts_of_controls_stand_beside_those_of_an_arm_of_their_name(tmp_path: Path) -> None:
    record = make_record(
        make_way("data", GOOD),
        make_controls(),
        samples={"data": ["an arm's text"]},
        controls={"data": ["held-out text"], "n-gram model": ["chained text"]},
    )
    (line, *_) = list_samples(record)
    cards = [(re.sub("<[^>]*>", "", name).split("  ")[0].strip(), text) for name, text in line]
    assert [text for _, text in cards] == ["an arm's text", "held-out text", "chained text"]
    assert [name for name, _ in cards[1:]] == ["data (control text)", "n-gram model"]
    protocols = dict(list_protocols(record))
    assert next(iter(protocols.values())).split(", ")[:2] == ["data", "data (control text)"]
    written = {path.name for path in reports.write_report(record, tmp_path)}
    quality = pd.read_csv(tmp_path / "quality.csv", dtype=str, keep_default_na=False)
    assert "quality.csv" in written
    assert quality.columns[-1] == "table"
    assert set(quality[quality["arm"].str.startswith("data")]["role"]) == {"arm", "control"}


def test_cells_of_the_scorer_and_the_controls_are_not_those_of_an_arm_of_their_name() -> None:
    scorer = [row | {"role": "scorer", "cell": "5c0"} for row in make_arm("scorer", 2.0)]
    arms = [
        row | {"cell": f"{number}a"}
        for number, name in enumerate(("scorer", "controls"))
        for row in make_arm(name, 3.0)
    ]
    controls = [row | {"cell": "c0"} for row in make_controls()]
    record = make_record(arms, scorer, controls)
    assert [(role, name) for role, name, _ in split_cells(record)] == [
        *(("arm", "scorer"), ("arm", "controls"), ("scorer", "scorer"), ("control", "control")),
    ]
    runs = _merge_controls(record.table).groupby(["arm", "cell"], sort=False)
    assert [name for name, _ in runs] == [("scorer", "0a"), ("controls", "1a"), ("scorer", "5c0"), ("controls", "c0")]
    numbers = tabulate(build_main(record)).set_index(["role", "arm", "metric"])["value"]
    assert numbers["arm", "scorer", "bits_per_char"] == 3.0


def test_data_sets_are_merged_by_what_a_row_is() -> None:
    """On one data set an arm is called like a reference, on the other one it is not there."""
    parts = {
        "letters": make_record(make_arm("unigram", 2.0), make_arm("B", 3.0), suite="toy-letters", data=FACTS),
        "all": make_record(make_arm("B", 3.0), suite="toy-all", data=FACTS),
    }
    table = build_across("toy", parts)
    assert [row.label for row in table.rows] == ["unigram", "B"]
    assert [row.label for row in table.references] == ["uniform", "unigram (reference)", "entropy of the source"]
    assert all(row.entries[0].value and row.entries[1].value for row in table.references), "one row for both"
    numbers = list_across(parts).set_index(["data", "role", "arm", "metric"])["value"]
    assert numbers["letters", "arm", "unigram", "bits_per_char"] == 2.0
    assert numbers["letters", "reference", "unigram (reference)", "bits_per_char"] == pytest.approx(1.3 / LN2)


def test_numbers_of_rows_with_one_label_are_all_in_the_file() -> None:
    table = build_main(make_record(make_arm("A", 3.0), data=FACTS))
    namesakes = tuple(replace(row, label="A") for row in table.references)
    numbers = tabulate(replace(table, references=namesakes)).query("metric == 'bits_per_char'")
    assert numbers["arm"].tolist() == ["A"] * 4
    assert numbers["role"].tolist() == ["arm", *["reference"] * 3]
