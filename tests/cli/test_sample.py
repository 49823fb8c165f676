"""`bench sample`: which cell is meant, what is given stays, and what cannot be done is told with the way out."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from bench.cli.main import main
from bench.cli.parser import POLICIES as LISTED
from bench.cli.prompt import PromptError
from bench.cli.sample import describe_conditioning, draw, parse_settings
from bench.engine.sample.policies import POLICIES
from bench.engine.sample.settings import SamplesSpec
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.results.find_cell import find
from bench.results.record_names import AmbiguousName
from bench.results.suite_record import NoRecord
from bench.suite.suite import read as read_suite
from methods import METHODS, OptionError, build
from tests.conftest import TINY
from tests.support.changed_records import change, rewrite

L, WINDOW = 12, 8  # tokens of a text of the tiny suite, and of a window of the models below
ARMS = "  - {label: UDLM, method: udlm}\nseeds"


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder of finished runs: AR, MDLM and UDLM on three letters."""
    folder = tmp_path_factory.mktemp("done")
    learns = "batch_size: 8, learning_rate: 0.01, ema: 0"  # enough to tell its weights from those of the start
    (folder / "tiny.yaml").write_text(TINY.replace("seeds", ARMS).replace("batch_size: 8", learns))
    assert main(["run", str(folder / "tiny.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


@pytest.fixture
def planned(tmp_path) -> Path:
    """A folder of cells that nobody has trained, two seeds each; a label looks like the other one with a seed."""
    text = TINY.replace("label: AR", "label: A/7").replace("label: MDLM", "label: A")
    (tmp_path / "two.yaml").write_text(text.replace("[0]", "[7, 3]"))
    submit(tmp_path / "runs", plan(read_suite(tmp_path / "two.yaml")))
    return tmp_path / "runs"


def asked(runs: Path, run: str, *arguments: str) -> int:
    return main(["sample", run, "--runs", str(runs), *arguments])


def texts(out: str) -> list[str]:
    """The texts of what the command printed."""
    return re.findall(r"--- \d+ of \d+\n(.*)\n", out)


def test_every_name_of_a_cell_leads_to_it(done):
    (cell,) = (
        path.parent for path in done.glob("cells/*/job.json") if json.loads(path.read_text())["method"] == "mdlm"
    )
    for name in ("tiny/MDLM", "tiny/MDLM/0", cell.name, cell.name[:6], str(cell)):
        assert find(done, name) == cell.resolve()


def test_of_several_seeds_the_first_is_meant_and_labels_may_hold_slashes(planned):
    def told(run: str) -> tuple[str, int]:
        job = json.loads((find(planned, run) / "job.json").read_text())
        return job["method"], job["seed"]

    assert told("two/A") == ("mdlm", 7)
    assert told("two/A/3") == ("mdlm", 3)
    assert told("two/A/7/7") == ("ar", 7)
    assert told("two/A/7/3") == ("ar", 3)
    with pytest.raises(AmbiguousName, match=r'arm "A/7" of suite two: \w+\n.*"A", seed 7, of suite two'):
        told("two/A/7")


def test_what_names_no_cell_or_several_is_answered_with_all_there_are(done, tmp_path, capsys):
    assert asked(done, "tiny/MDLN") == USAGE_ERROR
    told = capsys.readouterr().err
    assert 'there is no cell "tiny/MDLN"' in told
    assert 'did you mean "tiny/MDLM"?' in told
    for path in done.glob("cells/*"):
        assert re.search(rf"^  tiny/(AR|MDLM|UDLM)/0  {path.name}$", told, re.MULTILINE)
    assert asked(done, "") == USAGE_ERROR
    assert "3 cells begin with" in capsys.readouterr().err
    with pytest.raises(NoRecord, match="no suite was run under"):
        find(tmp_path, "tiny/MDLM")


def test_a_cell_that_no_suite_asks_for_any_more_is_listed_by_its_id(done, tmp_path):
    runs = shutil.copytree(done, tmp_path / "runs")
    (runs / "suites" / "tiny.json").unlink()
    with pytest.raises(NoRecord) as error:
        find(runs, "tiny/MDLM")
    assert sorted(str(error.value).split("\n")[1:]) == sorted(f"  {path.name}" for path in runs.glob("cells/*"))


@pytest.mark.parametrize("arm", ["AR", "MDLM", "UDLM"])
def test_with_equal_settings_the_texts_are_those_of_the_suite(arm, done, capsys):
    (recorded,) = find(done, f"tiny/{arm}").glob("samples-*/result.json")
    assert asked(done, f"tiny/{arm}", "--count", "2", "--calls", "4") == DONE
    out = capsys.readouterr().out
    assert texts(out) == json.loads(recorded.read_text())["texts"]
    assert f"2 x {L} tokens by {arm}: " in out
    assert "conditioning" not in out


def test_a_seed_decides_the_texts(done):
    cell = find(done, "tiny/MDLM")
    first, again, other = (draw(cell, SamplesSpec(count=8), seed=seed).texts for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("arm", "how"),
    [("AR", "each token is drawn given all before it"), ("MDLM", "exact: the network sees"), ("UDLM", "approximation")],
)
def test_every_text_begins_with_the_prompt_and_what_that_did_is_told(arm, how, done, capsys):
    assert asked(done, f"tiny/{arm}", "--prompt", "abca", "--count", "3", "--calls", "8") == DONE
    out = capsys.readouterr().out
    assert len(texts(out)) == 3
    assert all(text.startswith("abca") and len(text) == L for text in texts(out))
    assert how in out
    if arm == "AR":
        assert f"{L - 4} network calls" in out
        assert "left to right" in out


@pytest.mark.parametrize("arm", ["MDLM", "UDLM"])
def test_gaps_of_a_template_are_filled_and_the_rest_stays(arm, done, capsys):
    assert asked(done, f"tiny/{arm}", "--template", "a__bb_c", "--calls", "8", "--length", "9") == DONE
    found = texts(capsys.readouterr().out)
    assert len(found) == 4
    assert all(re.fullmatch("a[abc]{2}bb[abc]c[abc]{2}", text) for text in found)
    assert len(set(found)) > 1


def test_a_causal_method_continues_a_template_but_fills_no_gap_inside_it(done, capsys):
    assert asked(done, "tiny/AR", "--template", "ab__c") == USAGE_ERROR
    told = capsys.readouterr().err
    assert 'method "ar" writes from left to right: it can continue a text, but not fill the gap at token 3' in told
    cell = find(done, "tiny/AR")
    assert draw(cell, template="ab___").texts == draw(cell, prompt="ab").texts


def test_characters_that_the_vocabulary_lacks_are_named(done, capsys):
    for option in ("--prompt", "--template"):
        assert asked(done, "tiny/AR", option, "aXb!") == USAGE_ERROR
        assert "the vocabulary of source markov has no '!', 'X'; it has abc" in capsys.readouterr().err


def test_a_prompt_that_leaves_nothing_to_draw_says_how_to_get_more(done, capsys):
    for prompt in ("a" * L, "a" * (L + 3)):
        assert asked(done, "tiny/AR", "--prompt", prompt) == USAGE_ERROR
        assert f"{len(prompt)} tokens are given of texts of {L}; ask for longer ones" in capsys.readouterr().err
    assert asked(done, "tiny/AR", "--prompt", "a" * (L + 3), "--length", f"{L + 5}") == DONE
    out = capsys.readouterr().out
    assert all(text.startswith("a" * (L + 3)) and len(text) == L + 5 for text in texts(out))
    assert "3 network calls" in out  # its second window ends at token 18


def test_texts_may_be_longer_than_training(done, capsys):
    assert asked(done, "tiny/MDLM", "--prompt", "abc", "--length", "29", "--calls", "4") == DONE
    out = capsys.readouterr().out
    assert all(text.startswith("abc") and len(text) == 29 for text in texts(out))
    assert "tokens 29, stride 6" in out
    assert asked(done, "tiny/MDLM", "--stride", "4") == USAGE_ERROR
    assert f"stride 4 does not fit texts of {L} tokens" in capsys.readouterr().err
    assert asked(done, "tiny/MDLM", "--stride", f"{L}", "--length", "30") == USAGE_ERROR


def test_a_policy_that_a_method_cannot_follow_is_refused_with_the_reason(done, capsys):
    assert asked(done, "tiny/UDLM", "--policy", "remask", "--option", "eta=0.5") == USAGE_ERROR
    told = capsys.readouterr().err
    assert 'remask (eta 0.5), 128 calls: method "udlm" does not mask its tokens' in told
    assert asked(done, "tiny/AR", "--policy", "confidence") == USAGE_ERROR
    assert 'method "ar"' in capsys.readouterr().err
    assert asked(done, "tiny/MDLM", "--policy", "first-hitting") == USAGE_ERROR
    assert f"set calls to {L}" in capsys.readouterr().err
    assert asked(done, "tiny/MDLM", "--policy", "first-hitting", "--calls", f"{L}", "--prompt", "ab") == DONE
    assert "first-hitting, 12 calls, which samples the model's distribution exactly" in capsys.readouterr().out


def test_the_settings_of_a_command_are_those_of_a_suite():
    settings = parse_settings("remask", ["eta=0.1", "rule=rescale", "confident=true", "grid=cosine"], count=2, top_k=3)
    block = {"name": "remask", "eta": 0.1, "rule": "rescale", "confident": True, "grid": "cosine"}
    assert settings == SamplesSpec.model_validate({"count": 2, "top_k": 3, "policy": block})


@pytest.mark.parametrize(
    ("policy", "options", "others", "told"),
    [
        ("remsk", [], {}, 'unknown policy "remsk"; did you mean "remask"?'),
        ("remask", ["etta=1"], {}, 'unknown option "etta" for policy "remask"; did you mean "eta"?'),
        ("remask", ["name=euler"], {}, 'unknown option "name"'),
        ("remask", ["eta"], {}, "option eta: write it as KEY=VALUE"),
        ("remask", ["eta=2"], {}, "policy.remask.eta is 2: Input should be less than or equal to 1"),
        ("remask", ["rule=x"], {}, "policy.remask.rule is 'x'"),
        ("remask", ["eta=" + "[" * 50_000], {}, "policy.remask.eta is .*: Input should be a valid number"),
        ("ancestral", [], {"count": 0, "top_p": 2.0}, "count is 0.*\n.*top_p is 2.0"),
        ("ancestral", [], {"temperature": 0.0}, "temperature is 0.0: Input should be greater than 0"),
    ],
)
def test_settings_that_will_not_do_are_named(policy, options, others, told):
    with pytest.raises((OptionError, PromptError), match=told.replace("?", r"\?")):
        parse_settings(policy, options, **others)


def test_the_help_lists_every_policy():
    assert set(re.split(r", | or ", LISTED)) == set(POLICIES)


def test_truncation_is_told_and_a_greedy_causal_text_needs_no_luck(done, capsys):
    assert asked(done, "tiny/AR", "--top-k", "1") == DONE
    out = capsys.readouterr().out
    assert len(set(texts(out))) == 1
    assert "left to right, top_k 1, which changes the model's distribution" in out
    assert asked(done, "tiny/UDLM", "--top-k", "1") == USAGE_ERROR
    assert "draws no tokens that" in capsys.readouterr().err


@pytest.mark.parametrize("name", METHODS)
def test_conditioning_is_called_exact_only_where_visible_tokens_are_final(name):
    exact = {"ar", "mdlm", "md4", "genmd4", "sedd-absorb", "d3pm-absorb"}
    assert ("exact" in describe_conditioning(build(name, 5))) == (name in exact)
    assert "approximation" in describe_conditioning(build("mdlm", 5, carry_over=False))


def test_weights_that_are_not_final_or_made_by_other_code_are_told(done, tmp_path, monkeypatch, capsys):
    cell = shutil.copytree(find(done, "tiny/MDLM"), tmp_path / "cells" / "copy")
    assert draw(cell).warnings == []
    monkeypatch.setattr("bench.results.staleness.is_fresh", lambda *code: False)
    assert asked(done, str(cell)) == DONE
    assert "note: the code has changed since this cell was trained" in capsys.readouterr().err
    (cell / "train" / "result.json").unlink()
    assert "training is not finished" in draw(cell).warnings[0]


def test_samples_in_another_precision_than_that_of_training_are_told(done, tmp_path):
    cell = shutil.copytree(find(done, "tiny/MDLM"), tmp_path / "cells" / "copy")
    change(cell / "job.json", lambda job: job["execution"].update(precision="bfloat16"))
    assert draw(cell).warnings == ["this cell was trained in float32, and these samples are drawn in bfloat16"]


def test_a_cell_without_weights_says_what_to_do(planned, capsys):
    assert asked(planned, "two/A") == USAGE_ERROR
    assert "has no trained weights; train it with: bench run SUITE" in capsys.readouterr().err
    cell = find(planned, "two/A")
    (cell / "train").mkdir()
    (cell / "train" / "failure.json").write_text('{"reason": "non-finite loss"}')
    assert asked(planned, "two/A") == USAGE_ERROR
    assert "its training failed: non-finite loss" in capsys.readouterr().err


def test_a_broken_checkpoint_and_changed_data_are_told(done, tmp_path, capsys):
    cell = shutil.copytree(find(done, "tiny/MDLM"), tmp_path / "cells" / "copy")
    job = json.loads((cell / "job.json").read_text())
    rewrite(cell / "job.json", {**job, "fingerprint": "other"})
    assert asked(done, str(cell)) == USAGE_ERROR
    assert "data of source markov changed" in capsys.readouterr().err
    (cell / "train" / "checkpoint.pt").write_bytes(b"half a file")
    assert asked(done, str(cell)) == USAGE_ERROR
    assert "is not a whole checkpoint" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_cell_of_a_gpu_can_be_looked_at_on_a_cpu_and_a_gpu_that_is_missing_is_told(done, tmp_path, capsys):
    cell = shutil.copytree(find(done, "tiny/MDLM"), tmp_path / "cells" / "copy")
    job = json.loads((cell / "job.json").read_text())
    job["execution"] |= {"device": "cuda", "attention": "flash", "precision": "auto"}
    rewrite(cell / "job.json", job)
    assert asked(done, str(cell)) == DONE
    assert asked(done, str(cell), "--device", "cuda") == USAGE_ERROR
    assert "torch sees no GPU; use device: auto or cpu" in capsys.readouterr().err
