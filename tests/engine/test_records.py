"""Records on disk: those of an earlier version are read, broken ones are refused, unchanged ones are parsed once.

`old_records/` holds the job of a cell, a result of each stage and the record of a suite as version c4c39e0 wrote them,
with fewer stages and control texts.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.engine import record_files
from bench.engine.likelihood.standard_error import Estimate
from bench.engine.measurements import Measurement
from bench.engine.records import RESULTS, Job, Record, StoredSuite, TrainResult
from bench.engine.storage import (
    BrokenRecord,
    read_job,
    read_record,
    read_result,
    read_suite,
    succeed,
    write_record,
)
from bench.plan.budget import check_budget

OLD = Path(__file__).parent / "old_records"
OLD_KEYS = {"block": "settings", "promise": "due"}
DROPPED = {"written_in"}  # keys that today's records do not have


def read_old(name: str) -> Any:
    return json.loads((OLD / f"{name}.json").read_text("utf-8"))


def assert_holds(record: Any, old: Any, path: str = "") -> None:
    """Assert that a dumped record holds every value of an old file, under the same path or the new key."""
    if isinstance(old, dict):
        for key, value in old.items():
            if key not in DROPPED:
                assert_holds(record[OLD_KEYS.get(key, key)], value, f"{path}.{key}")
    elif isinstance(old, list):
        assert len(record) == len(old), path
        for number, (item, old_item) in enumerate(zip(record, old, strict=True)):
            assert_holds(item, old_item, f"{path}[{number}]")
    else:
        assert record == old, path


def test_an_old_job_is_read(tmp_path: Path) -> None:
    shutil.copy(OLD / "job.json", tmp_path / "job.json")
    job = read_job(tmp_path)
    assert job is not None
    assert_holds(job.model_dump(mode="json"), read_old("job"))
    assert job.due == {"steps": (8, 0), "tokens": (2048, 0)}
    assert [stage.name for stage in job.stages] == ["train", "bound", "estimate"]
    assert job.stages[1].settings["draws"] == 2
    assert job.stages[0].work[0].flops == 329121792.0


@pytest.mark.parametrize("stage", RESULTS)
def test_an_old_result_of_each_stage_is_read(stage: str, tmp_path: Path) -> None:
    folder = stage if stage == "train" else f"{stage}-0123456789ab"
    (tmp_path / folder).mkdir()
    shutil.copy(OLD / f"{stage}.json", tmp_path / folder / "result.json")
    result = read_result(tmp_path, folder)
    assert type(result) is RESULTS[stage]
    assert_holds(result.model_dump(mode="json"), read_old(stage))
    assert result.settings == read_old(stage)["block"]


def test_numbers_of_old_results_are_where_they_are_looked_for(tmp_path: Path) -> None:
    results = {stage: read_record(OLD / f"{stage}.json", kind) for stage, kind in RESULTS.items()}
    train, bound, controls = (results[stage] for stage in ("train", "bound", "controls"))
    assert train.counted == {"steps": 8, "tokens": 2048, "flops": 860160000.0}
    assert train.curve["valid"][-1].value == read_old("train")["curve"]["valid"][-1]["value"]
    assert bound.measures["nats_per_token"].value == 1.5954377391927739
    assert bound.measures["nats_per_token"].standard_error == 0.005203899869732584
    assert controls.controls["data"].measures["unigram_entropy"].value == 0.8488292522028793
    check_budget({"steps": (8, 0)}, train.counted)


def test_an_old_record_of_a_suite_is_read(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    shutil.copy(OLD / "suite.json", tmp_path / "suites" / "golden.json")
    suite = read_suite(tmp_path, "golden")
    assert suite is not None
    assert_holds(suite.model_dump(mode="json"), read_old("suite"))
    assert suite.file is None
    control, mdlm = suite.cells
    assert (control.role, mdlm.role, mdlm.arm) == ("control", "arm", "mdlm")
    bound = mdlm.stage("bound")
    assert bound is not None
    assert (bound.settings["replicates"], bound.folder) == (2, "bound-cf2ae9e9d0dd")
    assert mdlm.stage("quality") is None


def test_cells_without_a_network_share_that_of_their_suite() -> None:
    old = read_old("suite")
    for cell in old["cells"]:
        del cell["network"]
    suite = StoredSuite.model_validate(old)
    assert {cell.network for cell in suite.cells} == {suite.network} == {"micro, layers 2, width 32, heads 2"}


def test_a_record_is_written_under_the_keys_of_today(tmp_path: Path) -> None:
    job = Job.model_validate(read_old("job"))
    write_record(tmp_path / "job.json", job)
    text = (tmp_path / "job.json").read_text("utf-8")
    assert '"block"' not in text
    assert '"promise"' not in text
    assert read_job(tmp_path) == job


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    later = read_old("job") | {"weather": "fine"}
    later["stages"][0]["colour"] = "red"
    (tmp_path / "job.json").write_text(json.dumps(later), "utf-8")
    assert read_job(tmp_path) == Job.model_validate(read_old("job"))


def test_a_truncated_file_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text((OLD / "job.json").read_text("utf-8")[:-30], "utf-8")
    with pytest.raises(BrokenRecord) as error:
        read_job(tmp_path)
    assert str(error.value).startswith(f"{path} is not a whole record (")
    assert str(error.value).endswith("); bench run writes it again")


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"steps": "many"}, "steps: Input should be a valid integer, unable to parse string as an integer"),
        ({"stages": None}, "stages: is not a list"),
        ({"stages": [{"name": "train", "id": 7}]}, "stages.0.id: Input should be a valid string"),
        ({"stages": [{"id": "7"}]}, "stages.0.name: is missing"),
        ({"stages": [{"name": "bound"}]}, "stages.0.id: is missing"),
    ],
)
def test_a_wrong_type_is_broken(update: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(read_old("job") | update), "utf-8")
    with pytest.raises(BrokenRecord) as error:
        read_job(tmp_path)
    problem = f"{path} is not a record of this version ({reason})"
    assert str(error.value) == f"{problem}; bench run writes it again"


def test_a_file_that_holds_no_record_is_broken(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("[1, 2]", "utf-8")
    with pytest.raises(BrokenRecord, match=r"job\.json is not a record of this version \(the file: is not an object\)"):
        read_job(tmp_path)


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    assert read_job(tmp_path) is read_suite(tmp_path, "x") is read_result(tmp_path, "train") is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_cannot_be_written(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        succeed(tmp_path, TrainResult(flops=number))
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_does_not_exist_is_null() -> None:
    measurement = Measurement.of(Estimate(1.5, math.nan, 0.0, n=1))
    assert (measurement.value, measurement.standard_error, measurement.monte_carlo_error) == (1.5, None, 0.0)


def count_opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened from now on."""
    opened: list[str] = []
    read_bytes = record_files.read_bytes

    def counted(path: Path) -> bytes:
        opened.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(record_files, "read_bytes", counted)
    return opened


def test_a_file_is_parsed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train" / "result.json"
    write_record(path, TrainResult(steps=3))
    opened = count_opens(monkeypatch)
    first = read_record(path, TrainResult)
    assert read_record(path, TrainResult) is first
    assert opened == ["result.json"]

    write_record(path, TrainResult(steps=4))  # of the same size
    second = read_record(path, TrainResult)
    assert (first.steps, second.steps) == (3, 4)
    assert read_record(path, TrainResult) is second
    assert opened == ["result.json"] * 2

    path.unlink()
    assert read_record(path, TrainResult) is None


def test_records_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainResult().steps = 3  # type: ignore[misc]
    assert issubclass(TrainResult, Record)
