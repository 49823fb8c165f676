"""All mistakes of a suite come at once: none hides another, and none is invented because of another."""

import re

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import USAGE_ERROR
from bench.suite.suite import SuiteError, read, read_all
from tests.conftest import TINY

TEN_KINDS = """\
question: Does it hold?
data: {source: markov, length: 12, alphabet: 3, train: many, valid: 16, test: 16}
network: {preset: micro, layers: 1, width: 16, heads: 3}
budget: {steps: six}
training: {batch_size: "8", validations: 2, validation_sequences: 8, validation_draws: 2}
arms:
  - {label: AR, method: ar}
  - {label: MDLM, method: mdlm, options: {carry: true}}
  - {label: MD4, method: md44}
  - {label: GIDD, method: gidd, options: !x {}}
seeds: [0, 0]
seads: 3
evaluation:
  bound: [{draws: 2, replicates: 2, estimator: times}, {draws: three, arms: [AR]}]
  samples: {count: 2, calls: 4, top_k: x}
ablate:
  - {base: MDLM, grid: {options.foo: [1, 2], training.learning_rate: [0.1]}}
  - {base: GIDD, grid: {training.lerning_rate: [1, 2]}, labels: 3}
tune:
  trials: none
  seeds: [0]
  search: {training.learning_rate: {low: 2.0, high: 1.0}, options.schedule: [linear, linear]}
execution: {device: cpu, precision: float99}
scales: {quick: {budgt: {}}}
"""
TOLD = [  # the line and words of each mistake of the suite above
    (2, "data.train is 'many'"),
    (3, "width 16 is not an even multiple of 3 heads"),
    (4, "budget.steps is 'six'"),
    (5, "training.batch_size is '8'"),
    (8, 'unknown option "carry" for method "mdlm"'),
    (9, 'unknown method "md44"'),
    (10, "tags are not taken: !x"),
    (11, "a seed occurs twice"),
    (12, 'unknown key "seads"'),
    (14, 'arm AR: estimator "times"'),
    (14, "evaluation.bound.1.draws is 'three'"),
    (15, "evaluation.samples.top_k is 'x'"),
    (17, 'unknown option "foo" for method "mdlm"'),
    (18, '"training.lerning_rate" is not a setting of an arm'),
    (18, "ablate.1.labels is 3"),
    (20, "tune.trials is 'none'"),
    (21, "tuning seed 0 is one of the suite's"),
    (22, "the range is empty"),
    (22, "occurs twice"),
    (23, "execution.precision is 'float99'"),
    (24, 'unknown key "budgt"'),
]


def test_mistakes_of_every_kind_are_told_at_once(tmp_path, capsys):
    path = tmp_path / "many.yaml"
    path.write_text(TEN_KINDS)
    assert main(["plan", str(path)]) == USAGE_ERROR
    lines = capsys.readouterr().err.splitlines()
    for number, words in TOLD:
        assert any(line.startswith(f"{path}:{number}:") and words in line for line in lines), (number, words)


BROKEN = {  # a change that is a mistake of its own
    "training": ("batch_size: 8", 'batch_size: "8"'),
    "network": ("width: 16", "width: wide"),
    "budget": ("{steps: 6}", "{stepps: 6}"),
    "question": ("question: Does it hold?", "question: 5"),
    "data": ("length: 12", "length: long"),
    "an unknown source": ("source: markov", "source: markow"),
    "a missing key": ("network: {preset: micro, layers: 1, width: 16, heads: 2}\n", ""),
    "execution": ("device: cpu", "device: 3"),
    "an arm": ("  - {label: AR, method: ar}\n", "  - AR\n  - {label: AR, method: ar}\n"),
    "an arm without a method": ("  - {label: AR, method: ar}\n", "  - {label: B}\n  - {label: AR, method: ar}\n"),
    "options": ("method: mdlm", "method: mdlm, options: {carry: 1}"),
    "a tag": ("seeds: [0]", "seeds: !range [0]"),
    "a duplicate key": ("seeds: [0]", "seeds: [0]\nseeds: [1]"),
    "a number": ("replicates: 2", "replicates: 1e999"),
    "samples": ("count: 2", "count: few"),
    "a scale": ("seeds: [0]", "seeds: [0]\nscales: {a b: {}}"),
}
MANY = list(range(1, 200))
OTHERS = {  # a mistake that is found by comparing parts of a suite, and its words
    "an estimator": ("bound: {", "bound: {estimator: times, ", 'arm AR: estimator "times": method "ar" has an exact'),
    "an arm of the bound": ("bound: {", "bound: {arms: [AR, MDLM, MDLN], ", 'there is no arm "MDLN"'),
    "a base": ("method: ar", "method: ar, base: MDLN", 'there is no other arm "MDLN"'),
    "an ablation": (
        "execution:",
        "ablate: {base: AR, grid: {training.rate: [1, 2]}}\nexecution:",
        '"training.rate" is not a setting of an arm',
    ),
    "the size of an ablation": (
        "execution:",
        f"ablate: {{base: AR, grid: {{training.learning_rate: {MANY}, training.clip: {MANY}}}}}\nexecution:",
        "this grid makes 39,601 arms, where 10,000 is the limit",
    ),
    "tuning": (
        "execution:",
        "tune: {trials: 1, seeds: [9], search: {training.rate: [1, 2]}}\nexecution:",
        '"training.rate" is not a setting of an arm',
    ),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("broken", BROKEN)
def test_no_mistake_hides_another_or_adds_one(broken, other, tmp_path):
    path = tmp_path / "a.yaml"
    old, new, words = OTHERS[other]
    path.write_text(TINY.replace(*BROKEN[broken]))
    with pytest.raises(SuiteError) as error:
        read(path)
    alone = places(str(error.value))
    assert len(alone) == 1

    path.write_text(TINY.replace(*BROKEN[broken]).replace(old, new))
    with pytest.raises(SuiteError, match=re.escape(words)) as error:
        read(path)
    together = str(error.value).splitlines()
    assert [line for line in together if words not in line and not any(text in line for text in alone)] == []
    assert sum(words in line for line in together) in (1, 2)  # of a setting that two arms share


def places(message: str) -> list[str]:
    """The messages of an error without their places."""
    return [line.split(": ", 1)[1] for line in message.splitlines()]


def test_mistakes_of_all_data_sets_are_told_at_once(tmp_path):
    block = "{source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}"
    path = tmp_path / "a.yaml"
    blocks = [block.replace("length: 12", "length: x, label: a"), "{source: text-file, label: b, path: nowhere.txt}"]
    path.write_text(TINY.replace(block, f"[{', '.join(blocks)}]").replace("method: ar", "method: arr"))
    with pytest.raises(SuiteError) as error:
        read_all(path)
    for words in ("length is 'x'", "nowhere.txt: there is no such file", 'unknown method "arr"'):
        assert words in str(error.value)
