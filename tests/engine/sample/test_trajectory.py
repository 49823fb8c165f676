"""How texts come about: the code that keeps trajectories small, the player on the page, and the figure of changes."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

import reports
from bench.engine.data import DataSpec, load
from bench.engine.sample.trajectory import count_changes, decode, encode, show_tokens
from bench.results.suite_record import RecordedTrajectories, SuiteRecord
from reports.figures.trajectories import plot_changes
from reports.page.trajectory_player import list_players
from tests.support.browser import run_page
from tests.support.report_records import make_arm, make_record

LETTERS = ["a", "b", "</script>", "&", "\u2028", "<!--"]  # what must not end a script
MASK = len(LETTERS)


def make_frames(count: int = 2, length: int = 7, calls: int = 5) -> list[Tensor]:
    """Masked texts of which a token or two are revealed in each call."""
    x, order = torch.randint(0, MASK, (count, length)), torch.rand(count, length).argsort(1).argsort(1)
    return [torch.where(order * calls < call * length, x, MASK) for call in range(calls + 1)]


def make_trajectory(frames: list[Tensor] | None = None, arm: str = "MDLM", way: str = "ancestral, 5 calls") -> Any:
    frames = frames or make_frames()
    finals = ["".join([*LETTERS, *"89"][token] for token in row) for row in frames[-1].tolist()]
    return RecordedTrajectories(
        arm=arm,
        method="mdlm",
        seed=0,
        way=way,
        policy="ancestral",
        grid="uniform",
        network_calls=len(frames) - 1,
        symbols=LETTERS,
        texts=encode(frames),
        finals=finals,
    )


def make_watched(*trajectories: Any) -> SuiteRecord:
    return make_record(make_arm("MDLM", 3.0), trajectories=list(trajectories))


def write_page(record: SuiteRecord, folder: Path) -> str:
    return reports.write_report(record, folder)[-1].read_text("utf-8")


def read_data(html: str) -> Any:
    """What the page hands to its script, as a browser reads it: up to the first end of a script."""
    found = re.search(r'<script type="application/json" id="trajectories-data">(.*?)</script', html, re.DOTALL)
    assert found
    return json.loads(found.group(1))


@pytest.mark.parametrize("calls", [0, 1, 5, 30])
def test_decode_is_the_inverse_of_encode(calls: int) -> None:
    frames = make_frames(3, 9, max(calls, 1))[: calls + 1]
    back = torch.stack([decode(text) for text in encode(frames)], 1)
    assert torch.equal(back, torch.stack(frames))


def test_any_frames_come_back() -> None:
    frames = list(torch.randint(0, 50_000, (6, 2, 11)))
    frames.insert(3, frames[3])  # a call that changes nothing
    texts = json.loads(json.dumps(encode(frames)))
    assert torch.equal(torch.stack([decode(text) for text in texts], 1), torch.stack(frames))
    assert [count_changes(text)[3] for text in texts] == [0, 0]


def test_changes_are_counted() -> None:
    frames = [torch.tensor([row]) for row in ([9, 9, 9], [9, 1, 9], [2, 1, 2], [2, 0, 2])]
    (text,) = encode(frames)
    assert count_changes(text) == [1, 2, 1]
    assert text == {"length": 3, "start": [9, 3], "changes": [[1, 1], [0, 2, 2, 2], [1, 0]]}


def test_a_text_that_is_unmasked_once_costs_a_pair_a_token() -> None:
    (text,) = encode(make_frames(1, 500, 100))
    assert sum(map(len, text["changes"])) == 2 * 500
    assert text["start"] == [MASK, 500]


@pytest.mark.parametrize("frames", [[], [torch.zeros(2, 3), torch.zeros(2, 4)], [torch.zeros(3)]])
def test_frames_of_other_shapes_are_refused(frames: list[Tensor]) -> None:
    with pytest.raises(ValueError, match=r"frames of shapes .* one shape \[B, L\]"):
        encode(frames)


def test_a_trajectory_that_is_not_whole_is_refused() -> None:
    (text,) = encode(make_frames(1, 7))
    text["start"] = [MASK, 5]
    with pytest.raises(ValueError, match="7 tokens starts with 5"):
        decode(text)


def test_no_trajectory_no_script(tmp_path: Path) -> None:
    html = write_page(make_record(make_arm("MDLM", 3.0)), tmp_path)
    assert html.count("<script") == 1  # that of the tables
    assert 'id="trajectories"' not in html
    assert not list(tmp_path.glob("unmasked*"))


def test_the_page_holds_every_frame(tmp_path: Path) -> None:
    frames = make_frames()
    (data,) = read_data(write_page(make_watched(make_trajectory(frames)), tmp_path))
    assert torch.equal(torch.stack([decode(text) for text in data["texts"]], 1), torch.stack(frames))
    assert data["name"] == "MDLM: ancestral, 5 calls"
    assert data["mask"] == MASK
    used = {int(token) for token in torch.stack(frames).unique()}
    assert {int(token): symbol for token, symbol in data["symbols"].items()} == {
        token: [*LETTERS, "░"][token] for token in used
    }


def test_symbols_that_do_not_occur_stay_out_of_the_page() -> None:
    trajectory = make_trajectory([torch.tensor([[7, 7]]), torch.tensor([[3, 7]])])
    trajectory = replace(trajectory, symbols=[f"word {token}" for token in range(50_000)])
    (player,) = list_players(make_watched(trajectory))
    assert player["symbols"] == {3: "word 3", 7: "word 7"}


def test_hostile_tokens_and_labels_end_no_script(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x>"
    html = write_page(make_watched(make_trajectory(arm=evil, way=evil)), tmp_path)
    tags = re.findall(r"<\s*(/?\w+)", html)
    assert tags.count("script") == tags.count("/script") == 3  # the data, the player and the tables
    assert "img" not in tags
    assert "<!--" not in html
    assert read_data(html)[0]["name"] == f"{evil}: {evil}"


def test_the_finished_texts_are_there_without_a_script(tmp_path: Path) -> None:
    frames = make_frames()
    html = write_page(make_watched(make_trajectory(frames)), tmp_path)
    (without,) = re.findall(r"<noscript>(.*?)</noscript>", html, re.DOTALL)
    texts = [unescape(text) for text in re.findall(r"<pre[^>]*>(.*?)</pre>", without, re.DOTALL)]
    assert texts == ["".join(LETTERS[token] for token in text) for text in frames[-1].tolist()]


def test_the_page_with_a_player_needs_no_other_file(tmp_path: Path) -> None:
    html = write_page(make_watched(make_trajectory()), tmp_path)
    assert re.findall(r'(?:src|href|srcset|action)="(?!#)', html) == []
    assert re.findall(r"https?://|url\((?!#)|@import", re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)) == []


@pytest.mark.usefixtures("every_format")
def test_the_figure_counts_each_call_of_each_text(tmp_path: Path) -> None:
    fast, slow = make_trajectory(make_frames(2, 12, 3), way="fast"), make_trajectory(make_frames(2, 12, 6), way="slow")
    record = make_watched(fast, slow, make_trajectory(arm="MD4"))
    paths = plot_changes(record, tmp_path)
    assert [path.name for path in paths] == [f"unmasked.{ending}" for ending in ("svg", "png", "pdf", "csv")]
    counts = pd.read_csv(paths[-1]).query("arm == 'MDLM' and way == 'fast'")
    assert counts["changed"].tolist() == [4] * 6
    assert all(f">{word}<" in paths[0].read_text() for word in ("MDLM", "MD4", "fast", "slow", "tokens changed"))
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in plot_changes(record, tmp_path)] == first


PROBE = """
const part = (name) => document.getElementById("player-" + name);
const seen = [];
const note = () => seen.push([part("count").textContent, part("tape").textContent,
  [...part("tape").children].map((span) => span.className), part("call").value]);
const press = (key) => part("tape").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const choose = (name, value) => { part(name).value = value; part(name).dispatchEvent(new Event("change")); };
note(); part("next").click(); note(); press("ArrowRight"); note(); press("ArrowLeft"); note();
part("last").click(); note(); part("next").click(); note();
part("back").click(); note(); part("first").click(); part("back").click(); note();
part("call").value = "2"; part("call").dispatchEvent(new Event("input")); note();
choose("text", "1"); note(); choose("way", "1"); note();
part("play").click();
setTimeout(() => { note(); document.body.textContent = "SEEN" + JSON.stringify(seen) + "SEEN"; }, 2000);
"""


def test_the_player_steps_through_the_calls_in_a_browser(tmp_path: Path) -> None:
    rows = [[4, 4, 4], [4, 1, 4], [0, 1, 4], [0, 3, 2]]  # the mask is 4
    one = make_trajectory([torch.tensor([row, row[::-1]]) for row in rows], way="one")
    two = make_trajectory([torch.tensor([[4, 4]]), torch.tensor([[0, 1]])], way="two")
    one, two = (replace(trajectory, symbols=["a", "</script>", "c", "d"]) for trajectory in (one, two))
    start, first, second, back, last, beyond, inside, before, slid, other, way, played = run_page(
        write_page(make_watched(one, two), tmp_path), PROBE, tmp_path
    )
    assert start == ["before the first of 3 calls, 3 masked", "░░░", ["masked"] * 3, "0"]
    assert first == ["call 1 of 3, 1 token changed, 2 masked", "░</script>░", ["masked", " age0", "masked"], "1"]
    assert second == ["call 2 of 3, 1 token changed, 1 masked", "a</script>░", [" age0", " age1", "masked"], "2"]
    assert back == first
    assert last == beyond == ["call 3 of 3, 2 tokens changed, 0 masked", "adc", [" age1", " age0", " age0"], "3"]
    assert inside == second
    assert before == start
    assert slid == second
    assert other[0] == start[0]
    assert way == ["before the first of 1 calls, 2 masked", "░░", ["masked"] * 2, "0"]
    assert played == ["call 1 of 1, 2 tokens changed, 0 masked", "a</script>", [" age0", " age0"], "1"]


def test_tokens_that_do_not_show_are_spelled_out(tmp_path) -> None:
    (tmp_path / "t.txt").write_text("a b\tc\n\x06é" * 300)
    block = {"source": "text-file", "path": "t.txt", "length": 8}
    specs = (TypeAdapter(DataSpec).validate_python(block | {"level": level}) for level in ("char", "byte"))
    chars, bytes_ = (load(spec, tmp_path, tmp_path / str(number)) for number, spec in enumerate(specs))
    assert show_tokens(chars) == ["\\x06", "⇥", "↵\n", " ", "a", "b", "c", "é"]
    shown = show_tokens(bytes_)
    assert (shown[0x20], shown[0x0A], shown[0xC3], shown[0x61]) == (" ", "↵\n", "\\xc3", "a")
