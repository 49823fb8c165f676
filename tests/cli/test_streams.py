"""Output on any terminal: no encoding stops a report, and arguments that are not UTF-8 are refused."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import streams
from bench.cli.main import main
from bench.launch.exit_codes import BROKEN_PIPE, DONE, STORAGE_FULL, USAGE_ERROR
from tests.conftest import ROOT, TINY

LABEL = "自己 é"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Results of an arm with a label that few encodings hold."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "wide.yaml").write_text(TINY.replace("label: AR", f'label: "{LABEL}"'), encoding="utf-8")
    assert main(["run", str(folder / "wide.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder


def bench(folder, *arguments, encoding, **options):
    """The command in a process of its own, on a terminal of an encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "COLUMNS": "200"}
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, **options)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk"])
def test_every_command_prints_on_a_terminal_of_any_encoding(encoding, finished):
    done = bench(finished, "report", "wide.yaml", encoding=encoding)
    assert done.returncode == DONE, done.stderr
    out = done.stdout.decode(encoding)
    assert "MDLM" in out
    assert "page: runs/reports/wide/index.html" in out
    assert (LABEL in out) == (encoding == "gbk")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("1 ± 2 × 3…", "ascii", "1 +- 2 x 3..."),
        ("1 ± 2 × 3…", "latin-1", "1 ± 2 × 3..."),
        ("ᵃᵇ é ≤", "ascii", "ab e <="),
        ("模型 x", "ascii", "???? x"),
        ("caf\udce9", "utf-8", r"caf\xe9"),
    ],
)
def test_what_an_encoding_lacks_is_replaced_by_something_similar(text, encoding, shown, monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding, write_through=True))
    streams.make_printable()
    print(text, end="")
    assert buffer.getvalue().decode(encoding) == shown


@pytest.mark.parametrize(
    "arguments", [["plan", "caf\udce9.yaml"], ["status", "smoke", "--runs", "r\udce9"], ["compare", "a/\udce9", "b"]]
)
def test_an_argument_that_is_not_utf_8_is_refused_with_a_sentence(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == USAGE_ERROR
    assert "not UTF-8; rename the file or the arm" in capsys.readouterr().err


def test_a_reader_that_closes_the_pipe_is_no_error(finished):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "bench", "schema"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == BROKEN_PIPE
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_below_the_output_is_not_taken_for_one_below_the_results(unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "bench", "schema"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert "no room to write what the command prints (No space left on device)" in done.stderr
    assert "--retry-failed" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == STORAGE_FULL
