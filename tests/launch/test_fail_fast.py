"""Stop at the first failure: what was not started is told as such, and the report is written."""

import pytest

import bench
from bench.cli.main import main
from bench.launch.exit_codes import FAILED, USAGE_ERROR
from tests.conftest import TINY

DIVERGING = TINY.replace("batch_size: 8,", "batch_size: 8, learning_rate: 1.0e+30, clip: null,")
TWO_SETS = DIVERGING.replace(
    "data: {source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}",
    "data: [{label: one, source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}, "
    "{label: two, source: markov, length: 12, alphabet: 4, train: 64, valid: 16, test: 16}]",
)


def test_a_run_stops_at_the_first_failed_cell_and_reports_the_others_as_missing(tmp_path, capsys):
    suite, runs = tmp_path / "both.yaml", tmp_path / "runs"
    suite.write_text(TWO_SETS)
    command = ["run", str(suite), "--fail-fast", "--runs", str(runs)]
    for _ in range(2):  # a failure that is recorded already stops the run too
        assert main(command) == FAILED
        assert (
            "stopped at the first failure: train of AR, seed 0: TrainingFailed: non-finite" in capsys.readouterr().err
        )
        table = bench.load(runs)
        states = table.groupby(["suite", "arm"])["status"].agg(set).to_dict()
        assert states == {
            ("both-one", "AR"): {"failed"},
            ("both-one", "MDLM"): {"missing"},
            ("both-two", "AR"): {"missing"},
            ("both-two", "MDLM"): {"missing"},
        }
        assert (runs / "reports" / "both" / "index.html").exists()
        assert [path.parent.parent.name for path in (runs / "cells").rglob("failure.json")] == list(
            table.loc[table["status"] == "failed", "cell"].unique()
        )


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_limit_of_silence_is_a_positive_number(seconds, tiny, capsys):
    with pytest.raises(SystemExit) as end:
        main(["run", str(tiny), "--hang-timeout", seconds])
    assert end.value.code == USAGE_ERROR
    assert f"{seconds} is not a positive number of seconds, such as 600" in capsys.readouterr().err
