"""`bench perf sample`: what it measures, and when it says that a cache does not keep what it promises."""

import re

import pytest
import torch

from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.perf import measure_sampling as perf_sample
from bench.perf.measure_sampling import FULL, QUICK, SamplingCost, Table, measure_in_turns, random_model, speed


def invented(monkeypatch, seconds: dict[str, float], calls: int = 5) -> None:
    """Puts made-up measurements in the place of real ones: seconds by the word that says whether a cache is used."""

    def turns(ways, repetitions):
        return {names: SamplingCost(calls, (seconds.get(names[1], 1.0),) * repetitions) for names in ways}

    monkeypatch.setattr(perf_sample, "measure_in_turns", turns)


def rows(out: str) -> list[list[str]]:
    """The cells of every row of every table, without the lines below their heads."""
    lines = [line for line in out.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_it_prints_three_tables_in_markdown_and_where_it_ran(capsys):
    assert main(["perf", "sample", "--quick"]) == DONE
    out = capsys.readouterr().out
    assert f"torch {torch.__version__}" in out
    assert "networks: micro" in out
    found = rows(out)
    caches = [row for row in found if row[0] == "micro"]
    assert [row[1:3] for row in caches] == [["no", f"{QUICK.length}"], ["yes", f"{QUICK.length}"]]
    (long,) = (row for row in found if row[0] == "ar")
    assert long[1:3] == ["one per token", f"{QUICK.long}"]
    few, many = (int(row[2]) for row in found if row[0] == "mdlm")
    assert few <= many <= 5 * max(QUICK.calls)  # windows of 8 with 4 new tokens each: 24 take five
    assert out.count("\n| ---") == 3


def test_kept_hidden_states_take_no_more_calls_than_a_text_has_tokens(capsys):
    assert main(["perf", "sample", "--quick"]) == DONE
    found = [row for row in rows(capsys.readouterr().out) if row[0] in ("1", "2")]
    without, reused = (int(row[2]) for row in found[:2])
    assert reused <= QUICK.length < without <= QUICK.steps
    assert float(found[1][4]) == pytest.approx(without / reused, abs=0.05)


@pytest.mark.parametrize(("without", "kept"), [(2.9, False), (3.0, True)])
def test_a_cache_has_to_make_a_causal_method_three_times_faster(without, kept, monkeypatch, capsys):
    invented(monkeypatch, {"no": without, "yes": 1.0})
    assert speed(["micro"], FULL, "cpu") == kept
    out = capsys.readouterr().out
    assert ("required: 3 times faster; NOT met" in out) == (not kept)
    assert rows(out)[2][4] == f"{without:.1f}"


def test_one_preset_that_is_too_slow_is_a_failure(monkeypatch):
    def turns(ways, repetitions):
        slow = [1.0 if names == ("tiny", "no") else 5.0 if names[1] == "no" else 1.0 for names in ways]
        return {names: SamplingCost(5, (seconds,)) for names, seconds in zip(ways, slow, strict=True)}

    monkeypatch.setattr(perf_sample, "measure_in_turns", turns)
    monkeypatch.setattr(perf_sample, "random_model", lambda name, preset, device: None)
    assert main(["perf", "sample"]) == FAILED
    assert main(["perf", "sample", "--preset", "tiny"]) == FAILED
    assert main(["perf", "sample", "--preset", "small"]) == DONE
    assert main(["perf", "sample", "--preset", "tiny", "--quick"]) == DONE  # such sizes are not held to it


def test_the_rows_say_which_way_they_are(monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(perf_sample, "left_to_right", lambda *given, cache: asked.append(cache) or (None, 1))
    perf_sample._keys_and_values(["micro"], QUICK, "cpu")
    assert asked == [False, True]  # "no" comes first


def test_more_calls_than_tokens_are_a_failure(monkeypatch, capsys):
    invented(monkeypatch, {"no": 9.0, "yes": 1.0}, calls=FULL.length + 1)
    assert not speed(["micro"], FULL, "cpu")
    assert f"at most {FULL.length} calls for a single sample; NOT met" in capsys.readouterr().out
    invented(monkeypatch, {"no": 9.0, "yes": 1.0}, calls=FULL.length)
    assert speed(["micro"], FULL, "cpu")


def test_ways_take_turns():
    order: list[str] = []

    def way(name: str, calls: int):
        return lambda: order.append(name) or calls

    found = measure_in_turns({("a",): way("a", 3), ("b",): way("b", 4)}, 3)
    assert order == ["a", "b"] * 3
    assert {names: (each.calls, len(each.seconds)) for names, each in found.items()} == {("a",): (3, 3), ("b",): (4, 3)}


def test_the_median_is_told_with_what_it_lies_between_for_each_sequence(capsys):
    table = Table(1, "way", "calls", "seconds", "saved")
    found = {("slow",): SamplingCost(1234, (8.0, 2.0, 80.0)), ("fast",): SamplingCost(1, (4.0,))}
    table.add(found, 4, "2.0")
    table.print("a title")
    out = capsys.readouterr().out
    assert rows(out)[1:] == [["slow", "1,234", "2 (0.5 to 20)", ""], ["fast", "1", "1 (1 to 1)", "2.0"]]
    assert re.search(r"^\| -+ \| -+: \| -+: \| -+: \|$", out, re.MULTILINE)
    assert len({len(line) for line in out.splitlines() if line.startswith("|")}) == 1


def test_the_weights_are_random_those_of_the_head_too():
    model = random_model("mdlm", "micro", "cpu")
    assert model.network.output.weight.std() > 0
    assert not model.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(capsys):
    assert main(["perf", "sample", "--quick", "--device", "cuda"]) == USAGE_ERROR
    assert "torch sees no GPU" in capsys.readouterr().err
