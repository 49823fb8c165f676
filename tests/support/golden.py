"""Golden numbers: what a change of code that means to change no number must reproduce bit for bit.

python -m tests.support.golden                # compare with what is recorded, and say what differs
python -m tests.support.golden --equal WHY    # the code changed and every number is equal: results stay fresh
python -m tests.support.golden --record       # the numbers changed on purpose: record them
"""

import argparse
import contextlib
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from bench.cli.main import main as bench
from bench.engine import code_hash, storage
from bench.engine.code_hash import STAGES as CODE
from bench.engine.code_hash import current_code, equal_rows, write_table
from bench.engine.environment import make_deterministic
from bench.engine.stages import STAGES
from bench.engine.stages.context import CellContext, StageContext
from bench.launch.job_files import submit
from bench.plan.cells import folder_of, merge_stages
from bench.plan.plan import plan
from bench.suite.suite import read, with_data
from methods import METHODS, build
from tests.conftest import ROOT

EXPECTED = ROOT / "tests" / "golden" / "numbers.json"
SUITES = {"golden": ROOT / "tests" / "golden" / "suite.yaml", "smoke": ROOT / "suites" / "smoke.yaml"}
TIMED = {"seconds", "tokens_per_second", "seconds_per_sequence", "peak_memory_bytes", "environment", "settings"}
PROBES = {"batch_probe"}  # of rounding: no measure of a cell
OPTIONS: dict[str, list[dict[str, Any]]] = {  # of methods whose vectors are recorded under several
    "mdlm": [{}, {"schedule": "geometric"}, {"steps": 10}, {"zero_masking": False}, {"carry_over": False}],
    "gidd": [{}, {"gamma": 2.0, "weighting": "clip"}],
    "d3pm-absorb": [{"steps": 16}],
    "d3pm-uniform": [{"steps": 16}],
    "plaid": [{}, {"reparameterise": False}],
}
TOKENS, LENGTH = 7, 6

Golden = dict[str, dict[str, Any]]


def machine() -> dict[str, str]:
    """What must be equal for numbers to be equal bit for bit."""
    return {"torch": str(torch.__version__).partition("+")[0], "cpu": torch.backends.cpu.get_cpu_capability()}


def collect() -> Golden:
    """The golden numbers of the code as it is."""
    return {
        "machine": machine(),
        "ids": suite_ids(),
        "vectors": {case: digest(vectors) for case, vectors in method_vectors()},
        **{name: suite_numbers(path) for name, path in SUITES.items()},
    }


def differences(expected: Golden, golden: Golden) -> list[str]:
    """The places at which golden numbers differ; on another machine ids alone are compared exactly."""
    exact = expected["machine"] == golden["machine"]
    parts = ("ids", "vectors", *SUITES) if exact else ("ids",)
    wrong = [
        f"{part}: {name}"
        for part in parts
        for name in {**expected[part], **golden[part]}
        if expected[part].get(name) != golden[part].get(name)
    ]
    for part in () if exact else SUITES:
        for name, entry in expected[part].items():
            nats = golden[part].get(name, {}).get("nats")
            if entry["nats"] is not None and (nats is None or abs(nats - entry["nats"]) > 1e-3):
                wrong.append(f"{part}: {name}: {nats} instead of {entry['nats']} nats per token")
    return wrong


def suite_ids() -> dict[str, str]:
    """A digest of the ids of all cells and stages of every suite that ships, at each of its scales."""
    ids = {}
    for path in sorted((ROOT / "suites").rglob("*.yaml")):
        for scale in ("", *yaml.safe_load(path.read_text()).get("scales", {})):
            arguments = ["plan", str(path), "--json", "--runs", str(ROOT / "nothing-was-run")]
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
                code = bench([*arguments, "--scale", scale] if scale else arguments)
            assert code == 0, (path, scale)
            plans = json.loads(out.getvalue())
            ids[f"{path.relative_to(ROOT)} {scale}".strip()] = digest(
                [
                    [
                        cell["arm"],
                        cell["seed"],
                        cell["cell"],
                        [[stage["name"], stage["id"]] for stage in cell["stages"]],
                    ]
                    for plan in plans.get("data_sets", [plans])
                    for cell in plan["cells"]
                ]
            )
    return ids


class Noise:
    """Random numbers that depend on a seed alone."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=self.generator)

    def normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)


def method_vectors() -> Iterator[tuple[str, dict[str, Any]]]:
    """What the verbs of every method return for fixed inputs."""
    for name in METHODS:
        for options in OPTIONS.get(name, [{}]):
            torch.manual_seed(0)
            yield f"{name} {options}", verbs(build(name, TOKENS, **options))


def verbs(method: Any) -> dict[str, Any]:
    """What the verbs of one method return for fixed inputs; "none" for a verb that it lacks."""
    x = torch.randint(TOKENS, (4, LENGTH), generator=torch.Generator().manual_seed(2))
    scores = torch.randn(4, LENGTH, TOKENS + method.needs.extra_scores, generator=torch.Generator().manual_seed(3))
    t = torch.tensor([0.25, 0.5, 0.75, 0.9375], dtype=torch.float64)
    steps = method.needs.steps
    if steps:
        t = (t * steps).round() / steps

    z = method.corrupt(x, t, Noise(1))
    times, earlier = (time[:, None].expand(4, LENGTH) for time in (t, t - 1 / steps if steps else t / 2))
    prediction = method.read(scores, z, times)
    calls = {
        "z": lambda: z,
        "read": lambda: prediction,
        "bound": lambda: method.bound(x, z, times, prediction),
        "objective": lambda: method.objective(x, z, times, prediction),
        "prior_gap": lambda: method.prior_gap(x),
        "transition": lambda: method.transition(z, times, earlier, prediction),
        "rates": lambda: method.rates(z, times, prediction),
        "last_guess": lambda: method.last_guess(z, times, prediction),
        "log_noise": lambda: method.log_noise(z, times),
        "flow": lambda: method.flow(z, times, earlier, prediction),
        "clock": lambda: method.clock(t),
    }
    return {verb: attempt(call) for verb, call in calls.items()}


def attempt(call: Any) -> Any:
    try:
        return call()
    except TypeError:
        return "none"


def suite_numbers(path: Path) -> dict[str, Any]:
    """Every number of a small suite, run in this process: a digest for each stage, and its nats per token if any."""
    numbers = {}
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    make_deterministic(torch.device("cpu"))
    try:
        with TemporaryDirectory() as folder:
            planned = plan(with_data(read(path)))
            submit(Path(folder), planned)
            for cell in merge_stages(planned.all):
                for stage in cell.stages:
                    numbers[f"{cell.arm}/{stage.folder}"] = stage_numbers(folder_of(Path(folder), cell), stage)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
    return numbers


def stage_numbers(cell: Path, stage: Any) -> dict[str, Any]:
    job, kind = storage.read_job(cell), STAGES[stage.name]
    assert job is not None
    context = StageContext(CellContext(cell, job), cell / stage.folder)
    context.folder.mkdir(parents=True, exist_ok=True)
    result = kind.run(context, kind.settings.model_validate(stage.settings))
    storage.succeed(context.folder, result)

    content: dict[str, Any] = {"result": dict(leaves(result.model_dump()))}
    if (context.folder / "sequences.npz").exists():
        content["sequences"] = (context.folder / "sequences.npz").read_bytes()
    if (context.folder / "checkpoint.pt").exists():
        content["weights"] = torch.load(context.folder / "checkpoint.pt", weights_only=True)["ema"]
    measures = getattr(result, "measures", {})
    return {
        "digest": digest(content),
        "nats": measures["nats_per_token"].value if "nats_per_token" in measures else None,
    }


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested values by their places, without words, probes and what depends on time."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, part in pairs:
        if name not in TIMED | PROBES:
            yield from leaves(part, f"{place}/{name}")
    if isinstance(value, int | float):
        yield place, value


def digest(value: Any) -> str:
    """16 hexadecimal digits over nested values; tensors by their bytes."""
    if isinstance(value, torch.Tensor):
        content = value.detach().contiguous().numpy().tobytes()
    elif isinstance(value, bytes):
        content = value
    elif isinstance(value, dict):
        content = json.dumps([[str(name), digest(part)] for name, part in value.items()]).encode()
    else:
        content = json.dumps(value).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def code() -> dict[str, dict[str, str]]:
    """The code of every stage of every method; certificates are made again, as equal numbers say nothing of checks."""
    codes = {stage: {method: current_code(stage, method) for method in METHODS} for stage in CODE}
    codes["controls"] = {"": current_code("controls", "")}
    return codes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--equal", metavar="WHY", help="note that the changed code gives equal numbers")
    parser.add_argument("--record", action="store_true", help="record the numbers of the code as it is")
    chosen = parser.parse_args(arguments)
    golden = collect()
    if chosen.record:
        EXPECTED.write_text(json.dumps({**golden, "code": code()}, indent=1) + "\n")
        return 0

    expected = json.loads(EXPECTED.read_text())
    wrong = differences(expected, golden)
    print("\n".join(wrong) or "every number is equal")
    if wrong or not chosen.equal:
        return int(bool(wrong))
    if expected["machine"] != golden["machine"]:
        print(f"equal numbers can be noted on the machine that recorded them: {expected['machine']}, not {machine()}")
        return 1

    rows = json.loads(code_hash.TABLE.read_text())
    write_table([*rows, *equal_rows(expected["code"], chosen.equal)])
    EXPECTED.write_text(json.dumps({**expected, "code": code()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
