"""The JSON Schema that `bench schema` prints for editors: suites fit it, and what is wrong with one does not."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from ruamel.yaml import YAML

from bench.cli.main import main
from bench.engine.sample.policies import POLICIES
from bench.launch.exit_codes import DONE
from bench.suite.suite_file import SuiteFile
from methods import METHODS
from tests.conftest import ROOT, TINY

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
TOLD = {"title", "description", "default", "discriminator", "$schema", "$defs"}  # words that constrain nothing


def fits(value: Any, schema: Any, root: dict[str, Any]) -> bool:
    """Whether a value is valid under the part of JSON Schema that is used; raises KeyError on any other keyword."""
    if isinstance(schema, bool):
        return schema
    return all(CHECKS[word](value, said, schema, root) for word, said in schema.items() if word not in TOLD)


def is_type(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def inner(value: Any, schema: Any, root: dict[str, Any]) -> bool:
    """The properties, and those beside them."""
    named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    return not isinstance(value, dict) or all(fits(each, named.get(key, others), root) for key, each in value.items())


CHECKS = {
    "$ref": lambda v, s, _, r: fits(v, r["$defs"][s.removeprefix("#/$defs/")], r),
    "type": lambda v, s, _, r: is_type(v, s),
    "const": lambda v, s, _, r: v == s,
    "enum": lambda v, s, _, r: v in s,
    "anyOf": lambda v, s, _, r: any(fits(v, each, r) for each in s),
    "oneOf": lambda v, s, _, r: sum(fits(v, each, r) for each in s) == 1,
    "if": lambda v, s, whole, r: fits(v, whole["then" if fits(v, s, r) else "else"], r),
    "then": lambda *_: True,
    "else": lambda *_: True,
    "required": lambda v, s, _, r: not isinstance(v, dict) or set(s) <= set(v),
    "properties": lambda v, s, whole, r: inner(v, whole, r),
    "additionalProperties": lambda v, s, whole, r: inner(v, whole, r),
    "minProperties": lambda v, s, _, r: not isinstance(v, dict) or len(v) >= s,
    "items": lambda v, s, _, r: not isinstance(v, list) or all(fits(each, s, r) for each in v),
    "minItems": lambda v, s, _, r: not isinstance(v, list) or len(v) >= s,
    "pattern": lambda v, s, _, r: not isinstance(v, str) or bool(re.search(s, v)),
    "minLength": lambda v, s, _, r: bool(is_type(v, "number")) or len(v) >= s,
    "minimum": lambda v, s, _, r: not is_type(v, "number") or v >= s,
    "maximum": lambda v, s, _, r: not is_type(v, "number") or v <= s,
    "exclusiveMinimum": lambda v, s, _, r: not is_type(v, "number") or v > s,
    "exclusiveMaximum": lambda v, s, _, r: not is_type(v, "number") or v < s,
    "multipleOf": lambda v, s, _, r: not is_type(v, "number") or v % s == 0,
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    from bench.suite.schema import schema as make

    return make()


def parsed(text: str) -> Any:
    return YAML(typ="safe").load(text)


def test_the_command_prints_valid_json(capsys, schema):
    assert main(["schema"]) == DONE
    printed = json.loads(capsys.readouterr().out)
    assert printed == schema
    assert printed["$schema"].startswith("https://json-schema.org/")
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(printed))
    assert all(each.removeprefix("#/$defs/") in printed["$defs"] for each in references)


def test_it_knows_every_key_method_and_policy(schema):
    suite, defs = schema["$defs"]["Suite"], schema["$defs"]
    assert suite["properties"].keys() == SuiteFile.model_fields.keys()
    assert set(suite["required"]) == {"question", "data", "network", "budget", "arms", "seeds"}
    assert {"extends", "scales"} == suite["properties"].keys() - defs["Scale"]["properties"].keys()
    assert defs["ArmSpec"]["properties"]["method"]["anyOf"][0]["enum"] == list(METHODS)
    assert defs["SamplesSpec"]["properties"]["policy"]["anyOf"][0]["enum"] == list(POLICIES)


@pytest.mark.parametrize("path", sorted((ROOT / "suites").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_that_ships_fits(path, schema):
    assert fits(parsed(path.read_text()), schema, schema)


MORE = """\
scales: {quick: {budget: {tokens: 5}, data: {length: 4}, evaluation: {samples: null}, seeds: [1]}, full: }
ablate: {base: MDLM, grid: {options.steps: [10, {value: 20, label: few}]}, labels: "{base}"}
"""


def test_the_language_of_ablations_fits(schema):
    assert fits(parsed(TINY + MORE), schema, schema)
    assert fits(parsed("extends: tiny.yaml\ntraining: {batch_size: 2}\n" + MORE), schema, schema)
    own = "arms: [{label: A, method: mdlm, base: B, network: {width: 32}, training: {clip: null}}]"
    assert fits(parsed(f"extends: tiny.yaml\n{own}"), schema, schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds: [0]", "seads: [0]"),
        ("seeds: [0]", "extend: a.yaml"),
        ("budget: {steps: 6}", "budget: {steps: six}"),
        ("budget: {steps: 6}", "budget: {steps: 0}"),
        ("alphabet: 3", "alphabt: 3"),
        ("method: mdlm", "metod: mdlm"),
        ("draws: 2,", "draws: 3,"),
        ("calls: 4}", "calls: 4, policy: ancestrall}"),
        ("grid: {options.steps: [10,", "grid: {options.steps: [], zip: [10,"),
        ("base: MDLM, ", ""),
        ("budget: {tokens: 5}", "bugdet: {tokens: 5}"),
        ("data: {length: 4}", "data: {length: four}"),
        ("quick: {budget", "quick: {extends: a.yaml, budget"),
    ],
)
def test_what_is_wrong_with_a_suite_does_not_fit(old, new, schema):
    text = TINY + MORE
    assert old in text
    assert not fits(parsed(text.replace(old, new, 1)), schema, schema)


def test_a_suite_that_extends_none_needs_all_its_blocks(schema):
    whole = parsed(TINY)
    for key in ("question", "data", "network", "budget", "arms", "seeds"):
        part = deepcopy(whole)
        del part[key]
        assert not fits(part, schema, schema)
        assert fits(part | {"extends": "parent.yaml"}, schema, schema)
