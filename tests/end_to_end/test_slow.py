"""What takes minutes, run by `make slow`: whole suites, and faults planted into a copy of the code."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import bench
from bench.cli.main import main
from bench.launch.exit_codes import DONE
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def bits(table):
    """Bits per character of each arm on the test split."""
    return table[(table["metric"] == "bits_per_char") & (table["role"] == "arm")].set_index("arm")


def test_the_quickstart_ranks_its_arms_below_the_unigram_entropy(tmp_path):
    assert main(["run", str(ROOT / "suites" / "quickstart.yaml"), "--runs", str(tmp_path)]) == DONE
    scores = bits(bench.load(tmp_path))
    assert list(scores.index) == ["AR", "D3PM", "SEDD", "Plaid", "MDLM", "MD4", "GenMD4", "GIDD"]
    assert np.isfinite(scores["value"]).all()
    assert (scores["value"] < 4.07).all()  # uniform 4.755, unigram about 4.073
    assert scores["value"].idxmin() == "AR"


def test_on_the_markov_source_the_numbers_end_just_above_the_entropy(tmp_path):
    assert main(["run", str(ROOT / "suites" / "markov.yaml"), "--runs", str(tmp_path)]) == DONE
    table = bench.load(tmp_path)
    nats = table[(table["metric"] == "nats_per_token") & (table["split"] == "test")].set_index("arm")
    source = table[table["metric"] == "source_nats_per_token"].set_index("arm")
    for arm in ("AR", "MDLM"):
        gap, error = nats.loc[arm, "value"] - source.loc[arm, "value"], nats.loc[arm, "standard_error"]
        assert -0.5 * error < gap < 1.96 * error, arm  # the same sequences: far less than their own spread


def test_the_loss_holds_less_than_a_quarter_of_the_full_logits():
    assert main(["perf", "loss", "mdlm", "sedd-absorb", "sedd-uniform", "gidd", "plaid"]) == DONE


PROOFS = (  # the files of tests, in the order in which they catch faults soonest
    "engine/quality/test_text_statistics.py",
    "engine/quality/test_errors_over_texts.py",
    "engine/quality/test_controls.py",
    "engine/quality/test_evaluator.py",
    "engine/quality/test_scorers.py",
    "engine/quality/test_trained_cell.py",
    "engine/data/test_reserve.py",
    "reference/test_reference.py",
    "reference/test_reference_mixing.py",
    "reference/test_reference_sedd.py",
    "reference/test_reference_genmd4.py",
    "reference/test_reference_plaid.py",
    "methods/test_plaid_parts.py",
    "methods/test_schedules.py",
    "engine/sample/test_sampler.py",
    "engine/sample/test_truncation.py",
    "engine/sample/test_infilling.py",
    "engine/sample/test_policies.py",
    "engine/sample/test_remasking.py",
    "engine/sample/test_unmasking.py",
    "engine/sample/test_long_samples.py",
    "engine/sample/test_autoregressive.py",
    "laws/test_truncated_laws.py",
    "engine/model/test_network.py",
    "laws/test_identities_sedd.py",
    "laws/test_identities_genmd4.py",
    "laws/test_identities_plaid.py",
    "methods/test_self_conditioning.py",
    "plan/test_budget.py",
    "plan/test_cost.py",
    "results/test_significance_tests.py",
    "results/test_power_of_verdicts.py",
    "engine/likelihood/test_estimators.py",
    "engine/likelihood/test_terms.py",
    "tune/test_tuner.py",
    "engine/train/test_trainer.py",
    "engine/likelihood/test_bound.py",
    "laws/test_identities_mixing.py",
    "laws/test_identities.py",
    "laws/test_registry.py",
)

FAULTS = [  # file, what stands there, what is planted in its place
    ("methods/masked/absorbing.py", "-steps * reveal * pick", "steps * reveal * pick"),
    ("methods/masked/absorbing.py", "weight * cross_entropy", "weight * cross_entropy * 1.001"),
    (
        "methods/masked/absorbing.py",
        "- mask_ratio / (1 + alpha * mask_ratio)",
        "+ mask_ratio / (1 + alpha * mask_ratio)",
    ),
    ("methods/masked/absorbing.py", "stay_cost = stay * (excess_t", "stay_cost = (excess_t"),
    ("methods/masked/absorbing.py", "signal_at_end(x) * math.log", "signal_at_end(x) * 0 * math.log"),
    ("methods/masked/absorbing.py", "stay = stay + alpha_s * mass", "stay = stay + alpha_t * mass"),
    ("methods/masked/absorbing.py", "(alpha_s - alpha_t) * mass[", "alpha_s * mass["),
    ("methods/masked/absorbing.py", "0.0 if carry_over else 1 / steps", "0.0"),
    ("methods/masked/absorbing.py", "elif carry_over and schedule", "elif schedule"),
    ("methods/masked/absorbing.py", "self.schedule.signal(s)", "self.schedule.alpha(s)"),
    ("methods/masked/absorbing.py", "1 - alpha + alpha * mass[..., self.mask :]", "1 - alpha"),
    (
        "methods/schedules.py",
        "return math.pi / 2 / torch.tan(math.pi / 2 * t)",
        "return 1.6 / torch.tan(math.pi / 2 * t)",
    ),
    ("methods/schedules.py", "/ torch.expm1(self.sigma(t))", "/ torch.exp(self.sigma(t))"),
    ("methods/schedules.py", "torch.full_like(t, self.eps - 1)", "torch.full_like(t, -1.0)"),
    ("methods/method.py", "return t.clamp(min=self.t_min)", "return t.clamp(min=0.3)"),
    ("methods/method.py", "log_p = log_p.double()", "log_p = log_p.double() * 1.05"),
    ("methods/discrete/mixing.py", "prediction) + excess(ratio - 1)", "prediction) - excess(ratio - 1)"),
    (
        "methods/discrete/mixing.py",
        "torch.where(possible, q_z, 1.0) / torch.where(possible, p_z",
        "torch.where(possible, p_z, 1.0) / torch.where(possible, q_z",
    ),
    ("methods/discrete/mixing.py", "+ p_t.log() - q_t.log()", "- p_t.log() + q_t.log()"),
    ("methods/discrete/mixing.py", "stay_cost = self.share(t, s) * ", "stay_cost = "),
    ("methods/discrete/mixing.py", "- self.share(t, s) * self.noise_at(z, s)", "- self.noise_at(z, s)"),
    ("methods/discrete/mixing.py", "xlogratio(masked, masked + alpha * mask_mass)", "0.0"),
    ("methods/discrete/mixing.py", "-uniform * (log_ratios - log_ratio_x)", "-uniform * (log_ratios + log_ratio_x)"),
    ("methods/discrete/mixing.py", "u < alpha + masked, self", "u < masked, self"),
    (
        "methods/discrete/mixing.py",
        "prediction[..., : self.vocab_size].double() + self.log_noise(z, t)",
        "prediction[..., : self.vocab_size].double()",
    ),
    ("methods/discrete/uniform.py", "(self.schedule.alpha(t) * self.states)", "self.states"),
    ("methods/discrete/uniform.py", "(size - 1) * torch.xlogy(q_other", "size * torch.xlogy(q_other"),
    ("methods/discrete/gidd.py", "self.gamma / 2 * (1 - 2 * t) / t", "self.gamma / 2 * (1 - t) / t"),
    ("methods/discrete/d3pm.py", "return self.steps * self.step_cost", "return self.step_cost"),
    ("methods/discrete/d3pm.py", "- self.hybrid * self.steps", "- self.hybrid"),
    ("methods/discrete/sedd.py", "(total - 1 - pick(prediction, x))", "(total - pick(prediction, x))"),
    ("methods/discrete/sedd.py", "scores - math.log(self.vocab_size), z", "scores, z"),
    ("methods/discrete/sedd.py", "(log_s_x - ratio_x.log() + 1)", "(log_s_x - ratio_x.log())"),
    ("methods/discrete/sedd.py", "(self.vocab_size - 1) * (ratio", "self.vocab_size * (ratio"),
    ("methods/discrete/sedd.py", "(score_t - (1 - keep) * score_t", "(score_t - keep * score_t"),
    ("methods/discrete/sedd.py", "EPS + (1 - EPS) * schedule", "(1 - EPS) * schedule"),
    ("methods/masked/genmd4.py", "(pick(prediction, x) + 1)", "pick(prediction, x)"),
    ("methods/masked/genmd4.py", "cost - cost.flip(1)", "cost.flip(1) - cost"),
    ("methods/masked/genmd4.py", "[mu * (1 - stay), (mu * stay)", "[mu * (1 - stay), (mu * (1 - stay))"),
    ("methods/masked/genmd4.py", "torch.where(masked, 0.5, 1 - t**w)", "torch.where(masked, 0.5, 1 - t)"),
    ("methods/masked/genmd4.py", "stay = self.hidden(s / t)", "stay = self.hidden(s)"),
    ("methods/masked/genmd4.py", "reveal = self.powers() / t", "reveal = 1 / t"),
    ("methods/masked/genmd4.py", "draws = 2", "draws = 1"),
    ("methods/continuous/plaid.py", "torch.exp(-gamma) / 2 * error", "torch.exp(-gamma) * error"),
    ("methods/continuous/plaid.py", "- 1 - 2 * sigma.log()", "- 1 - sigma.log()"),
    ("methods/continuous/plaid.py", "(1 - tanh**2)", "(1 - tanh)"),
    ("methods/continuous/plaid.py", "(2 * cost.detach() - 1) * cost", "2 * cost.detach() * cost"),
    ("methods/continuous/plaid.py", "z * (1 - c) / alpha_t", "z * (1 - c)"),
    ("methods/continuous/plaid.py", "return True", "return False"),
    ("methods/continuous/plaid.py", "gap = alpha**2 +", "gap ="),
    ("methods/continuous/plaid.py", "sigma_s * c.sqrt()", "sigma_s * c"),
    ("methods/continuous/plaid.py", "(alpha**2 / z.shape[-1] +", "(alpha**2 +"),
    ("methods/continuous/plaid.py", "self.schedule(t)[0] / 10", "t / 10"),
    ("methods/continuous/plaid.py", "torch.full_like(t, rise)", "torch.full_like(t, 0.9 * rise)"),
    ("bench/engine/likelihood/standard_error.py", "(count / (count - 1) * sum_of_squares)", "sum_of_squares"),
    ("bench/engine/likelihood/estimators.py", "k = (1 + (u * length)", "k = (0 + (u * length)"),
    ("bench/engine/likelihood/estimators.py", "masking.inverse(1 - hidden.squeeze(-1))", "masking.inverse(1 - u)"),
    ("bench/engine/likelihood/estimators.py", "align(weight, nats) * (1 - method.t_min) *", "align(weight, nats) *"),
    ("bench/engine/likelihood/estimators.py", "weight = self.warp * u ** (self.warp - 1)", "weight = 1.0"),
    ("bench/engine/likelihood/estimators.py", "yield (stratum + 1 - offsets", "yield (stratum + offsets"),
    (
        "bench/engine/likelihood/bound.py",
        '"prior_gap": reduce(model.method.prior_gap(x))',
        '"prior_gap": 0 * reduce(model.method.prior_gap(x))',
    ),
    ("bench/engine/model/method_with_network.py", "return (first + 1 + (u", "return (first + (u"),
    (
        "bench/engine/model/method_with_network.py",
        "self.method.feedback(prediction).to(first_guess)",
        "0 * self.method.feedback(prediction).to(first_guess)",
    ),
    ("bench/engine/model/head.py", "return (scores_grad @", "return 0 * (scores_grad @"),
    ("bench/engine/model/head.py", "total.add_(grad)", "total.copy_(grad)"),
    ("bench/engine/train/trainer.py", "return loss + self.noised_loss(", "return loss + 0 * self.noised_loss("),
    (
        "bench/engine/train/trainer.py",
        "x.repeat_interleave(method.draws, 0), t.repeat",
        "x.repeat(method.draws, 1), t.repeat",
    ),
    ("bench/engine/train/trainer.py", "< SELF_CONDITIONED", "> SELF_CONDITIONED"),
    ("bench/engine/sample/policies/policy.py", "self.move(state, t, s)", "self.move(state, s, s)"),
    ("bench/engine/sample/policies/ancestral.py", "jumps = (t - s)[..., None]", "jumps = t[..., None]"),
    ("bench/engine/sample/policies/unmasking.py", "u ** (1 / masks", "u ** (1 / (1 + masks)"),
    ("bench/engine/sample/policies/unmasking.py", "return first - second", "return first"),
    ("bench/engine/sample/policies/unmasking.py", "entropy.cumsum(-1) - entropy", "entropy.cumsum(-1)"),
    ("bench/engine/sample/policies/remasking.py", "alpha_s - (1 - sigma) * alpha_t", "alpha_s - alpha_t"),
    (
        "bench/engine/sample/policies/remasking.py",
        "torch.where(visible, -confidence",
        "torch.where(visible, confidence",
    ),
    (
        "bench/engine/sample/policies/remasking.py",
        "probability.argmax(-1, keepdim=True)",
        "probability.argmin(-1, keepdim=True)",
    ),
    ("bench/engine/sample/state.py", "hidden[changed] = self", "hidden[changed] = 0 * self"),
    (
        "bench/engine/sample/state.py",
        "self.truncation.apply(tokens - total) + total",
        "self.truncation.apply(tokens - total)",
    ),
    ("bench/engine/sample/sampler.py", "samples.ids.roll(-stride, 1)", "samples.ids"),
    ("bench/engine/sample/autoregressive.py", "/ self.temperature", "* self.temperature"),
    ("bench/engine/sample/sampler.py", "positions >= position", "positions > position"),
    ("bench/engine/data/dataset.py", '"reserve" if name == "train" else name', "name"),
    ("bench/engine/quality/generative_perplexity.py", "math.exp(mean.value)", "mean.value"),
    ("bench/engine/quality/text_statistics.py", "both = (p + q) / 2", "both = (p + 3 * q) / 4"),
    ("bench/engine/quality/errors_over_texts.py", "(n - size) / size", "size / (n - size)"),
    ("bench/engine/quality/controls.py", 'split = "test" if spec', 'split = "valid" if spec'),
    ("bench/engine/quality/controls.py", "permuted(real.numpy(), axis=1)", "permuted(real.numpy(), axis=0)"),
    (
        "bench/engine/quality/evaluator.py",
        "reference.features, self.settings.seed",
        "scored.features, self.settings.seed",
    ),
    ("bench/engine/quality/scorers/scorer.py", "yield start, end, new", "yield start, end, start"),
    ("bench/engine/quality/scorers/trained_cell.py", "[:, new - start :]", "[:, :]"),
    ("bench/results/statistics/significance_tests.py", "(len(order) - step) * p_values[index]", "p_values[index]"),
    ("bench/engine/flops.py", "(3 + guess_share) * self.sequence()", "(2 + guess_share) * self.sequence()"),
    ("bench/suite/tuning/lock_file.py", "best = min(scored", "best = max(scored"),
    ("bench/engine/model/network.py", "cosine[first:length]", "cosine[0 : length - first]"),
]


@pytest.mark.parametrize(("path", "right", "wrong"), FAULTS, ids=lambda value: value[:40])
def test_a_planted_fault_is_caught(path, right, wrong, tmp_path, record_property):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "*.egg-info"))
    source = (copy / path).read_text()
    assert right in source, f"{path} no longer says {right!r}: plant the fault anew"
    (copy / path).write_text(source.replace(right, wrong, 1))
    proofs = [f"tests/{name}" for name in PROOFS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-k",
        "not training_ends",
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
