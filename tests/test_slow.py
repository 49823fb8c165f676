"""What takes minutes, run by `make slow`: whole suites, and faults planted into a copy of the code."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import bench
from bench.cli import DONE, main
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def bits(table):
    """Bits per character of each arm on the test split."""
    return table[(table["metric"] == "bits_per_char")].set_index("arm")


def test_the_quickstart_ranks_its_arms_below_the_unigram_entropy(tmp_path):
    assert main(["run", str(ROOT / "suites" / "quickstart.yaml"), "--runs", str(tmp_path)]) == DONE
    found = bits(bench.load(tmp_path))
    assert list(found.index) == ["AR", "MDLM", "MD4"]
    assert np.isfinite(found["value"]).all()
    assert (found["value"] < 3.9).all()  # uniform 4.755, unigram about 4.07
    assert found["value"].idxmin() == "AR"


def test_on_the_markov_source_the_numbers_end_just_above_the_entropy(tmp_path):
    assert main(["run", str(ROOT / "suites" / "markov.yaml"), "--runs", str(tmp_path)]) == DONE
    table = bench.load(tmp_path)
    nats = table[(table["metric"] == "nats_per_token") & (table["split"] == "test")].set_index("arm")
    source = table[table["metric"] == "source_nats_per_token"].set_index("arm")
    for arm in ("AR", "MDLM"):
        gap, error = nats.loc[arm, "value"] - source.loc[arm, "value"], nats.loc[arm, "standard_error"]
        assert -0.5 * error < gap < 1.96 * error, arm  # the same sequences: far less than their own spread


PROOFS = ("schedules", "reference", "reference_mixing", "bound", "sample", "identities", "identities_mixing", "network")

FAULTS = [  # file, what stands there, what is planted in its place
    ("methods/absorbing.py", "-steps * reveal * pick", "steps * reveal * pick"),
    ("methods/absorbing.py", "weight * cross_entropy", "weight * cross_entropy * 1.001"),
    ("methods/absorbing.py", "- left / (1 + alpha * left)", "+ left / (1 + alpha * left)"),
    ("methods/absorbing.py", "kept = stay * (excess_t", "kept = (excess_t"),
    ("methods/absorbing.py", "return self._left(x) * math.log", "return 0 * self._left(x) * math.log"),
    ("methods/absorbing.py", "stay = stay + alpha_s * mass", "stay = stay + alpha_t * mass"),
    ("methods/absorbing.py", "(alpha_s - alpha_t) * mass[", "alpha_s * mass["),
    ("methods/absorbing.py", "0.0 if carry_over else 1 / steps", "0.0"),
    ("methods/absorbing.py", "elif carry_over and schedule", "elif schedule"),
    ("methods/absorbing.py", "self.schedule.signal(s)", "self.schedule.alpha(s)"),
    (
        "methods/schedules.py",
        "return math.pi / 2 / torch.tan(math.pi / 2 * t)",
        "return 1.6 / torch.tan(math.pi / 2 * t)",
    ),
    ("methods/schedules.py", "/ torch.expm1(self.sigma(t))", "/ torch.exp(self.sigma(t))"),
    ("methods/method.py", "return t.clamp(min=self.t_min)", "return t.clamp(min=0.3)"),
    ("methods/method.py", "log_p = log_p.double()", "log_p = log_p.double() * 1.05"),
    ("methods/mixing.py", "divergence + excess(-d_z", "divergence - excess(-d_z"),
    ("methods/mixing.py", "-d_z / (1 + d_z)", "-d_z / (1 - d_z)"),
    ("methods/mixing.py", "+ p_t.log() - q_t.log()", "- p_t.log() + q_t.log()"),
    (
        "methods/mixing.py",
        "prediction[..., : self.vocab_size].double() + self.log_noise(z, t)",
        "prediction[..., : self.vocab_size].double()",
    ),
    ("methods/uniform.py", "(self.schedule.alpha(t) * self.states)", "self.states"),
    ("methods/uniform.py", "(size - 1) * torch.xlogy(other", "size * torch.xlogy(other"),
    ("methods/gidd.py", "self.gamma / 2 * (1 - 2 * t) / t", "self.gamma / 2 * (1 - t) / t"),
    ("methods/d3pm.py", "return self.steps * self.step_cost", "return self.step_cost"),
    ("methods/d3pm.py", "- self.hybrid * self.steps", "- self.hybrid"),
    ("bench/bound.py", "k = (1 + (u * length)", "k = (0 + (u * length)"),
    ("bench/bound.py", "masking.inverse(1 - hidden.squeeze(-1))", "masking.inverse(1 - u)"),
    ("bench/bound.py", "return density * (1 - method.t_min) *", "return density *"),
    ("bench/bound.py", "density = method.warp * u ** (method.warp - 1)", "density = 1.0"),
    ("bench/bound.py", "yield (stratum + 1 - inside", "yield (stratum + inside"),
    ("bench/bound.py", '"prior_gap": method.prior_gap(x).sum(-1)', '"prior_gap": 0 * method.prior_gap(x).sum(-1)'),
    ("bench/model.py", "return (first + 1 + (u", "return (first + (u"),
    ("bench/sample.py", "_advance(model, z, t, partial", "_advance(model, z, s, partial"),
]


@pytest.mark.parametrize(("path", "right", "wrong"), FAULTS, ids=lambda value: value[:40])
def test_a_planted_fault_is_caught(path, right, wrong, tmp_path, record_property):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "*.egg-info"))
    source = (copy / path).read_text()
    assert right in source, f"{path} no longer says {right!r}: plant the fault anew"
    (copy / path).write_text(source.replace(right, wrong, 1))
    proofs = [f"tests/test_{name}.py" for name in PROOFS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        *proofs,
    ]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    caught = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(f"{path}: {wrong!r} caught by {caught}")
    assert done.returncode == 1, f"nothing caught {wrong!r} in {path}"
    assert caught
