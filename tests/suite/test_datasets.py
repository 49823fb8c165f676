"""Suites with several data sets: one suite for each, faults of all at once, and one table across them."""

import json
import re
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.cli.result_commands import records_exit_code
from bench.engine import storage as record
from bench.engine.data import download as fetch
from bench.launch.exit_codes import DONE, FAILED, INCOMPLETE, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.results.find_cell import find
from bench.results.suite_record import NoRecord, SuiteRecord
from bench.suite.schema import schema
from bench.suite.suite import SuiteError, read, read_all
from tests.conftest import TINY
from tests.suite.test_schema import fits, parsed
from tests.support.ablations import ablate
from tests.support.report_records import make_arm, make_record

DATA = "data: {source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}"
ONE, TWO = (
    "{source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}",
    "{source: markov, label: order-2, order: 2, length: 16, alphabet: 4, train: 64, valid: 16, test: 16}",
)


def write(folder: Path, *blocks: str, more: str = "", name: str = "suite.yaml") -> Path:
    """The tiny suite with a list of data sets, the first of which stands in line 3."""
    assert DATA in TINY
    path = folder / name
    path.write_text(TINY.replace(DATA, "\n".join(["data:", *(f"  - {block}" for block in blocks)])) + more)
    return path


def told(path: Path, scale: str | None = None, data: str | None = None) -> str:
    with pytest.raises(SuiteError) as error:
        read_all(path, scale, data)
    return str(error.value)


def alone(folder: Path, block: str) -> list[str]:
    """The ids of the suite with one block of data, which is in no list."""
    path = folder / "alone.yaml"
    path.write_text(TINY.replace(DATA, f"data: {re.sub('label: [^,]*, ', '', block)}"))
    return [stage.id for cell in plan(read(path)).cells for stage in cell.stages]


def test_each_data_set_is_a_suite_of_its_own_with_the_ids_that_it_has_alone(tmp_path):
    one, two = read_all(write(tmp_path, ONE, TWO))
    assert (one.name, two.name) == ("suite-markov", "suite-order-2")
    assert (one.label, two.label) == ("markov", "order-2")
    assert (one.facts.vocab_size, two.facts.vocab_size, two.facts.length) == (3, 4, 16)
    for suite, block in ((one, ONE), (two, TWO)):
        assert [stage.id for cell in plan(suite).cells for stage in cell.stages] == alone(tmp_path, block)


def test_a_list_of_one_is_as_the_block_alone(tmp_path, capsys):
    listed = write(tmp_path, ONE.replace("{", "{label: mine, "), name="tiny.yaml")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny.yaml").write_text(TINY)
    printed = []
    for path in (listed, tmp_path / "other" / "tiny.yaml"):
        for form in ([], ["--json"]):
            assert main(["plan", str(path), "--runs", str(tmp_path / "runs"), *form]) == DONE
            printed.append(capsys.readouterr().out)
    assert printed[:2] == printed[2:]
    assert read(listed, data="mine").name == "tiny"


def test_where_one_is_wanted_several_are_told_by_name(tmp_path):
    path = write(tmp_path, ONE, TWO)
    with pytest.raises(SuiteError, match=r"suite\.yaml:2:1: there are 2 data sets: markov, order-2; .*--data"):
        read(path)
    assert read(path, data="order-2") == read_all(path)[1]
    assert 'there is no data set "order-3"; did you mean "order-2"? known: markov, order-2' in told(
        path, data="order-3"
    )
    (tmp_path / "plain.yaml").write_text(TINY)
    assert "its one data set has no label" in told(tmp_path / "plain.yaml", data="markov")


BAD = {  # the second block, or what stands at the end of the suite; the place and the words
    "the same label": (
        "{source: markov, length: 8}",
        r'4:5: two data sets are called "markov"; the first is in line 3',
    ),
    "no name of a file": (TWO.replace("order-2", "a/b"), r"4:22: label 'a/b' is not allowed; .* letters and digits"),
    "nothing": (TWO.replace("order-2", '""'), r"4:22: label '' is not allowed"),
    "no word": (TWO.replace("order-2", "[a]"), r"4:22: label \['a'\] is not allowed"),
    "no block": ("4", r"4:5: data is 4: Input should be a valid dictionary"),
    "unknown source": ("{source: markow}", r"4:5: data\.source is 'markow'; did you mean \"markov\""),
    "unknown key": (TWO.replace("alphabet", "alphabt"), r"4:60: unknown key \"alphabt\"; did you mean \"alphabet\""),
    "misspelt label": (
        "{source: pydoc, labl: mine, length: 12}",
        r"4:21: unknown key \"labl\"; did you mean \"label\"",
    ),
    "ill value": (TWO.replace("alphabet: 4", "alphabet: one"), r"4:60: data.alphabet is 'one'"),
    "no file": (
        "{source: text-file, length: 12, path: gone.txt}",
        r"4:37: .*gone\.txt",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_wrong_with_one_of_several_is_told_with_its_place(fault, tmp_path):
    block, words = BAD[fault]
    assert re.search(rf"suite\.yaml:{words}", told(write(tmp_path, ONE, block)))
    assert told(write(tmp_path, ONE, block)).count("\n") == 0, "once"


def test_the_faults_of_all_data_sets_are_told_at_once_and_each_once(tmp_path):
    path = write(tmp_path, ONE.replace("16}", "0}"), TWO.replace("alphabet: 4", "alphabet: 1"))
    path.write_text(path.read_text().replace("method: mdlm", "method: mdln").replace("steps: 6", "steps: -6"))
    lines = told(path).splitlines()
    assert [int(line.split(":")[1]) for line in lines] == [3, 4, 6, 10]


def test_what_only_one_data_set_makes_a_fault_names_it(tmp_path):
    path = write(tmp_path, ONE, TWO)
    path.write_text(path.read_text().replace("calls: 4", "calls: 4, length: 20, stride: 12"))
    (line,) = told(path).splitlines()
    assert "stride 12 does not fit texts of 20 tokens, where training has 12" in line
    assert line.endswith('(data set "markov")')
    assert read(path, data="order-2").name == "suite-order-2"
    assert 'data set "' not in told(write(tmp_path, ONE, TWO, more="execution: {}\n"))


def test_an_empty_list_and_a_label_that_is_a_scale_are_refused(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(TINY.replace(DATA, "data: []"))
    assert "suite.yaml:2:1: data lists no data set" in told(path)
    clash = write(tmp_path, ONE, TWO.replace("order-2", "quick"), more="scales: {quick: {seeds: [1]}}\n")
    why = 'with label "quick", the record is called suite-quick, like one of scale "quick"'
    assert f"suite.yaml:4:22: {why}" in told(clash)
    assert why in told(clash, "quick")
    assert len(read_all(write(tmp_path, ONE, TWO, more="scales: {quick: {seeds: [1]}}\n"), "quick")) == 2


def test_lists_replace_others_and_paths_in_them_start_at_their_file(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("abcd" * 300)
    write(tmp_path / "texts", "{source: text-file, length: 12, path: a.txt}", TWO, name="parent.yaml")
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: texts/parent.yaml\nscales: {{other: {{data: [{ONE}, {TWO}]}}, one: {{{DATA}}}}}\n")
    assert [suite.name for suite in read_all(child)] == ["child-text-file", "child-order-2"]
    assert read(child, data="text-file").facts.tokens["train"] == 1080
    assert [suite.name for suite in read_all(child, "other")] == ["child-other-markov", "child-other-order-2"]
    assert read(child, "one").name == "child-one"


def test_ablations_are_carried_out_on_every_data_set(tmp_path):
    path = write(tmp_path, ONE, TWO, more=ablate("  grid: {method: [md4]}\n"))
    assert [[arm.label for arm in suite.spec.arms] for suite in read_all(path)] == [["AR", "MDLM", "MDLM, md4"]] * 2


def test_the_schema_knows_lists_of_data_sets(tmp_path):
    whole = schema()
    for blocks, is_fit in [((ONE, TWO), True), ((TWO,), True), ((ONE, "{source: markow}"), False), ((), False)]:
        assert fits(parsed(write(tmp_path, *blocks).read_text()), whole, whole) == is_fit, blocks
    for old, new in [("order-2", "a/b"), ("label", "labl"), ("order-2", "2")]:
        text = write(tmp_path, ONE, TWO.replace(old, new)).read_text()
        assert not fits(parsed(text), whole, whole), new
    assert not fits(parsed(TINY.replace(DATA, "data: []")), whole, whole)
    text = TINY.replace("{source: markov,", "{source: markov, label: mine,")
    assert not fits(parsed(text), whole, whole), "a block alone has no label"
    assert fits(parsed(TINY + f"scales: {{a: {{data: [{ONE}]}}, b: {{data: {{length: 8}}}}}}"), whole, whole)


def test_the_plan_shows_every_data_set_and_what_they_cost_together(tmp_path, capsys):
    path = write(tmp_path, ONE, TWO)
    asked = ["plan", str(path), "--runs", str(tmp_path / "runs")]
    assert main(asked) == DONE
    shown = capsys.readouterr().out
    assert shown.index("suite-markov: ") < shown.index("suite-order-2: ") < shown.index("all 2 data sets:")
    counts = re.findall(r"^(\d) cells, ([\d,]+) training tokens", shown, re.MULTILINE)
    assert counts == [("2", "1,152"), ("2", "1,536"), ("4", "2,688")]
    assert main([*asked, "--json"]) == DONE
    whole = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in whole["data_sets"]] == ["markov", "order-2"]
    for name in ("cells", "tokens", "flops", "flops_left"):
        assert whole["total"][name] == pytest.approx(sum(each["total"][name] for each in whole["data_sets"]))
    assert main([*asked, "--json", "--data", "order-2"]) == DONE
    own = json.loads(capsys.readouterr().out)
    assert {"label": "order-2", **own} == whole["data_sets"][1]


@pytest.fixture
def unrun(monkeypatch, tmp_path):
    """Nothing is trained or fetched, what is asked for is written down; in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFFUSION_BENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.launch.local_launcher.run", lambda runs, plan, retry, finished: submit(runs, plan))

    def refuse(*_args, **_others):
        raise OSError("no network here")

    monkeypatch.setattr(fetch, "urlopen", refuse)
    monkeypatch.setattr("reports.write_report", leave_out)
    return tmp_path


def leave_out(_record: SuiteRecord, folder: Path) -> list[Path]:
    """The page of one data set, without what takes time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").touch()
    return [folder / "index.html"]


def test_every_command_works_on_all_data_sets_or_on_one(unrun, capsys):
    asked = [str(write(unrun, ONE, TWO)), "--runs", "runs"]
    assert main(["status", *asked]) == USAGE_ERROR, "nothing was run"
    assert main(["run", *asked, "--data", "order-2"]) == INCOMPLETE
    assert sorted(path.stem for path in (unrun / "runs" / "suites").iterdir()) == ["suite-order-2"]
    assert [path.name for path in (unrun / "runs" / "reports").iterdir()] == ["suite-order-2"], "no table across"
    assert main(["status", *asked]) == INCOMPLETE
    assert 'suite "suite-markov" was never run' in capsys.readouterr().err
    assert main(["run", *asked]) == INCOMPLETE
    for command in ("status", "report"):
        capsys.readouterr()
        assert main([command, *asked, *(["--verbose"] if command == "report" else [])]) == INCOMPLETE
        out = capsys.readouterr().out
        assert "suite-markov:" in out
        assert "suite-order-2:" in out
        assert main([command, *asked, "--data", "markov"]) == INCOMPLETE
        assert "order-2" not in capsys.readouterr().out
    written = {path.name for path in (unrun / "runs" / "reports" / "suite").iterdir()}
    assert written == {"across.md", "across.tex", "across.csv", "index.html"}


def test_records_are_found_when_the_file_is_gone_or_was_changed(unrun, capsys):
    path = write(unrun, ONE, TWO)
    asked = [str(path), "--runs", "runs"]
    main(["run", *asked])
    path.write_text(path.read_text() + "# changed\n")
    capsys.readouterr()
    main(["status", *asked])
    assert capsys.readouterr().err.count("changed since it was run") == 1
    path.unlink()
    assert main(["status", *asked]) == USAGE_ERROR
    assert "there are suite-markov, suite-order-2; " in capsys.readouterr().err
    assert main(["status", *asked, "--data", "order-2"]) == INCOMPLETE
    id = read_names(unrun)["suite-order-2"]
    assert find(unrun / "runs", "suite-order-2/MDLM").name == id
    with pytest.raises(NoRecord, match='did you mean "suite-markov/MDLM" or "suite-order-2/MDLM"'):
        find(unrun / "runs", "suite/MDLM")


def read_names(folder: Path) -> dict[str, str]:
    """The cell of MDLM in each record."""
    plans = [record.read_json(path) for path in (folder / "runs" / "suites").glob("*.json")]
    return {each["suite"]: cell["id"] for each in plans for cell in each["cells"] if cell["arm"] == "MDLM"}


def test_data_that_cannot_be_had_stop_only_themselves_and_are_told(unrun, capsys):
    path = write(unrun, "{source: text8, length: 12}", TWO)
    assert main(["run", str(path), "--runs", "runs"]) == FAILED
    said = capsys.readouterr()
    why = "suite-text8 is NOT run, its data are not available: "
    assert said.err.count(why) == 2, "at once, and again below all that was run"
    assert "no network here" in said.err
    assert [each.stem for each in (unrun / "runs" / "suites").iterdir()] == ["suite-order-2"]
    for name in ("across.md", "across.tex", "index.html"):
        text = (unrun / "runs" / "reports" / "suite" / name).read_text()
        assert "no record" in text
        assert why in text
    capsys.readouterr()
    assert main(["run", str(write(unrun, "{source: text8, length: 12}")), "--runs", "empty"]) == USAGE_ERROR
    both = write(unrun, "{source: text8, length: 8}", "{source: text8, label: other, length: 9}")
    assert main(["run", str(both), "--runs", "empty"]) == USAGE_ERROR
    assert not (unrun / "empty").exists()


def test_certify_takes_the_arms_once(unrun, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(
        "bench.cli.certify.show", lambda subjects, _: seen.extend(subject.method for subject in subjects) or True
    )
    assert main(["certify", "--suite", str(write(unrun, ONE, TWO))]) == DONE
    assert seen == ["ar", "mdlm"]


def test_a_data_set_without_a_record_leaves_a_suite_incomplete():
    whole = make_record(make_arm("AR", 2.0, "exact"))
    assert records_exit_code({"a": whole, "b": whole}) == DONE
    assert records_exit_code({"a": whole, "b": "it was never run"}) == INCOMPLETE
