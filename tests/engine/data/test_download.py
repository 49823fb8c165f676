"""text8 without a path: fetched once, verified, kept, and planned before it is here. A small text stands in for it."""

import hashlib
import io
import json
import re
import socket
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import bench
from bench.cli.main import main
from bench.engine.data import DataError, DataSpec, load, preview, summarize
from bench.engine.data import download as fetch_module
from bench.engine.data.sources import text as text_module
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.suite.suite import read, with_data
from tests.conftest import TINY
from tests.engine.data.test_sources import without_inspection

TEXT = "the quick brown fox jumps over the lazy dog " * 100
WHOLE = {"source": "text8", "length": 16}


def spec(**changes):
    return TypeAdapter(DataSpec).validate_python({**WHOLE, **changes})


def pack(content: str, name: str = "text8") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    """Where the zip lies; the cache is an empty folder beside it."""
    monkeypatch.setenv("DIFFUSION_BENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(text_module, "TEXT8_CHARACTERS", len(TEXT))
    monkeypatch.setattr(text_module, "TEXT8_SHA1", hashlib.sha1(TEXT.encode()).hexdigest())
    monkeypatch.setattr(text_module, "TEXT8_URL", (tmp_path / "text8.zip").as_uri())
    (tmp_path / "text8.zip").write_bytes(pack(TEXT))
    return tmp_path / "text8.zip"


@pytest.fixture
def suite(there) -> Path:
    """The tiny suite on text8."""
    path = there.with_name("tiny.yaml")
    one_arm = TINY.replace("  - {label: AR, method: ar}\n", "")
    path.write_text(re.sub(r"data: .*", "data: {source: text8, length: 12}", one_arm))
    return path


@pytest.fixture
def worker(there) -> Path:
    """A python whose text8 is the stand-in, as `bench run` starts it for a cell."""
    path = there.with_name("python")
    path.write_text(f"""#!{sys.executable}
import sys
from bench.cli.main import main
from bench.engine.data.sources import text
text.TEXT8_CHARACTERS, text.TEXT8_SHA1 = {text_module.TEXT8_CHARACTERS}, "{text_module.TEXT8_SHA1}"
sys.exit(main(sys.argv[3:]))
""")
    path.chmod(0o755)
    return path


def kept(there: Path) -> list[str]:
    """What lies in the cache."""
    return sorted(path.name for path in there.with_name("cache").rglob("*"))


def test_what_is_fetched_is_the_text_and_is_fetched_once(there, caplog):
    caplog.set_level("INFO", logger="bench")
    data = load(spec(), Path(), there.with_name("ids"))
    assert data.decode(data.sequences("train").flatten()) == TEXT[: data.summary.sequences["train"] * 16]
    assert data.summary.tokens == {"train": 3960, "valid": 220, "test": 220}
    assert kept(there) == ["text8"]
    assert re.search(r"fetching file:.*text8\.zip\n.*kept .*text8, 4,400 bytes", caplog.text)
    there.unlink()
    assert without_inspection(summarize(spec(), Path())) == without_inspection(data.summary)


def test_a_file_of_ones_own_is_the_same_text(there, tmp_path):
    (tmp_path / "mine").write_text(TEXT)
    there.unlink()
    mine = summarize(spec(path="mine"), tmp_path)
    assert kept(there) == []
    there.write_bytes(pack(TEXT))
    assert summarize(spec(), Path()) == mine


def test_what_is_foreseen_is_what_is_found(there):
    expected = preview(spec(), Path())
    assert kept(there) == []
    assert not expected.is_read
    assert "not here yet" in expected.notes[-1]
    summary = summarize(spec(), Path())
    assert summary.is_read
    assert {**without_inspection(expected), "unigram_nats": summary.unigram_nats} == without_inspection(summary)
    assert preview(spec(), Path()) == summary


def test_a_length_that_no_split_holds_is_a_fault_before_anything_is_fetched(there):
    with pytest.raises(DataError, match="at most 220") as caught:
        preview(spec(length=221), Path())
    assert caught.value.field == "length"


def test_the_published_text_is_known_by_its_sum_alone(tmp_path, monkeypatch):
    """Golden: should this fail, results on text8 are lost to their users."""
    monkeypatch.setenv("DIFFUSION_BENCH_DATA", str(tmp_path))
    known = preview(spec(length=256), Path())
    assert (known.vocab_size, known.tokens) == (27, {"train": 90_000_000, "valid": 5_000_000, "test": 5_000_000})
    assert known.sequences["test"] == 19_531
    assert known.fingerprint == "7d043277f7cf6d059957bf59acf56f58bd27ed42a20adfa971662086ad1fe5b4"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no zip at all", r"not a whole zip with a file text8 \(File is not a zip file\)"),
        (pack(TEXT)[:-40], r"not a whole zip with a file text8 \(File is not a zip file\)"),
        (pack(TEXT)[:45] + b"\xff" + pack(TEXT)[46:], "not a whole zip with a file text8"),  # inside the packed text
        (pack(TEXT, name="text9"), r"not a whole zip with a file text8 \(There is no item named 'text8'"),
        (pack(TEXT[:-1]), "not what was published: 4,399 characters instead of 4,400"),
        (pack(TEXT[:-1] + "x"), "not what was published: sha1 [0-9a-f]{40} instead of "),
        (None, "urlopen error .*No such file or directory"),
    ],
)
def test_a_fetch_that_fails_names_address_reason_and_way_out_and_keeps_nothing(content, reason, there):
    there.unlink() if content is None else there.write_bytes(content)
    with pytest.raises(DataError, match=rf"^file:.*text8\.zip: {reason}.*; try again, or download.*as path$") as caught:
        summarize(spec(), Path())
    assert caught.value.field == "source"
    assert kept(there) == []


class Server(BaseHTTPRequestHandler):
    """Answers with an error, or with less than it promised."""

    def do_GET(self):
        if self.path == "/gone":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half" * 100)

    def log_message(self, *told):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("page", "reason"),
    [("gone", "HTTP Error 404: Not Found"), ("half", "the connection ended after 400 of 1,000 bytes")],
)
def test_an_answer_that_is_not_the_text_is_told_in_words(page, reason, server, there, monkeypatch):
    address = f"http://127.0.0.1:{server.server_port}/{page}"
    monkeypatch.setattr(text_module, "TEXT8_URL", address)
    with pytest.raises(DataError, match=rf"^{address}: {reason}; try again"):
        summarize(spec(), Path())
    assert kept(there) == []


def test_no_connection_is_told_in_words(there, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/text8.zip"
    monkeypatch.setattr(text_module, "TEXT8_URL", address)
    with pytest.raises(DataError, match=rf"^{address}: urlopen error .*refused; try again"):
        summarize(spec(), Path())
    assert kept(there) == []


def test_a_damaged_text_in_the_cache_is_told_with_the_way_out(there):
    summarize(spec(), Path())
    (there.with_name("cache") / "text8").write_text(TEXT[:-1])
    with pytest.raises(DataError, match=r"cache/text8: not the whole text8: 4,399 .*; remove it to have it"):
        summarize(spec(), Path())


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_fetched(there, monkeypatch):
    there.with_name("cache").write_text("a file where a folder should be")
    monkeypatch.setattr(fetch_module, "urlopen", None)
    with pytest.raises(DataError, match=r"cache: cannot be written \(File exists\); .* with DIFFUSION_BENCH_DATA"):
        summarize(spec(), Path())


def test_a_text_that_cannot_be_kept_is_told(there, monkeypatch):
    def full(content, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_module, "write", full)
    with pytest.raises(DataError, match=r"text8: cannot be written \(No space left on device\)"):
        summarize(spec(), Path())


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"DIFFUSION_BENCH_DATA": "mine", "XDG_CACHE_HOME": "cache"}, Path("mine")),
        ({"XDG_CACHE_HOME": "cache"}, Path("cache/diffusion-bench")),
        ({"HOME": "me"}, Path("me/.cache/diffusion-bench")),
    ],
)
def test_the_cache_is_that_of_the_user(variables, folder, monkeypatch):
    for name in ("DIFFUSION_BENCH_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert fetch_module.cache_folder() == folder


def test_a_plan_fetches_nothing_and_has_the_ids_of_the_run(suite, there, capsys, monkeypatch):
    fetching, known = fetch_module.urlopen, plan(read(suite))
    monkeypatch.setattr(fetch_module, "urlopen", None)
    assert main(["plan", str(suite), "--runs", str(there.with_name("runs"))]) == DONE
    out = capsys.readouterr().out
    assert "The text is not here yet: bench run fetches it" in " ".join(out.split())
    assert all(cell.id in out for cell in known.cells)
    assert kept(there) == []
    monkeypatch.setattr(fetch_module, "urlopen", fetching)
    assert [cell.id for cell in plan(with_data(read(suite))).cells] == [cell.id for cell in known.cells]
    assert main(["plan", str(suite), "--runs", str(there.with_name("runs"))]) == DONE
    assert "not here yet" not in capsys.readouterr().out


def test_a_run_fetches_the_text_and_records_what_could_not_be_known_before(suite, there, worker, monkeypatch):
    monkeypatch.setattr("bench.launch.worker_process.sys.executable", str(worker))
    runs, known = there.with_name("runs"), plan(read(suite))
    assert main(["run", str(suite), "--runs", str(runs)]) == DONE
    assert kept(there) == ["text8"]
    table = bench.load(runs)
    assert set(table["status"]) == {"done"}
    assert set(table["cell"]) == {cell.id for cell in known.cells}
    recorded = json.loads((runs / "suites" / "tiny.json").read_text())["facts"]
    assert recorded["unigram_nats"] == summarize(spec(length=12), Path()).unigram_nats
    assert not any("not here yet" in note for note in recorded["notes"])


def test_a_plan_whose_data_were_not_read_is_never_recorded(suite, tmp_path):
    with pytest.raises(AssertionError, match="were not read"):
        submit(tmp_path / "runs", plan(read(suite)))
    assert not (tmp_path / "runs").exists()


def test_a_run_that_cannot_fetch_says_so_and_writes_nothing(suite, there, capsys):
    there.unlink()
    assert main(["run", str(suite), "--runs", str(there.with_name("runs"))]) == USAGE_ERROR
    assert re.fullmatch(r".*(^file:.*text8\.zip: urlopen error .*as path)\n", capsys.readouterr().err, re.M | re.S)
    assert not there.with_name("runs").exists()


def test_a_machine_that_cannot_run_the_suite_fetches_nothing(suite, there, monkeypatch):
    monkeypatch.setattr("bench.engine.environment.torch.cuda.is_available", lambda: False)
    suite.write_text(suite.read_text().replace("device: cpu", "device: cuda"))
    assert main(["run", str(suite), "--runs", str(there.with_name("runs"))]) == USAGE_ERROR
    assert kept(there) == []
