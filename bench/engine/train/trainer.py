"""The training loop, the same for every method: budget, optimizer, order of the data, noise and counters."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.engine.data import Dataset
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import END_DRAWS, Model, last_guess_costs, times
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Stream, seed_for
from bench.engine.train.ema import EMA
from bench.engine.train.settings import Budget, Training
from methods.method import Nats, Tokens

SELF_CONDITIONED = 0.25  # share of the training sequences that are shown the network's own guess, as in Plaid
LOSS_POINTS = 200  # points on the training curve, each the mean loss over equally many steps


class TrainingFailed(RuntimeError):
    """Training stopped for a reason that belongs in the table, such as a loss that is not finite."""


class Interrupted(Exception):
    """The training run was asked to stop and has written a checkpoint."""


@dataclass
class Curve:
    """Learning curves: points with "tokens", "value" and "seconds"."""

    train: list[dict[str, float]] = field(default_factory=list)
    valid: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Progress:
    """Counters of a training run. Checkpointed in full, so interrupting a run cannot extend its budget."""

    step: int = 0
    tokens: int = 0
    noise_draws: int = 0  # noised sequences that went through the network with gradients
    end_draws: int = 0  # sequences noised to t_min for the reconstruction term, counted apart from `noise_draws`
    seconds: float = 0.0
    running_loss: float = 0.0  # summed over the steps since the last point of the training curve
    running_steps: int = 0


class Trainer:
    """Train a model in place for exactly its budget.

    `resume` continues from a checkpoint, bit for bit on a CPU. `environments` lists where the run was executed: more
    than one entry after a resume with other code or on another device. `warnings` lists damage on the way.
    """

    def __init__(self, model: Model, data: Dataset, training: Training, budget: Budget, seed: int, accumulate: int = 1):
        self.model, self.data, self.training, self.accumulate = model, data, training, accumulate
        self.steps = budget.in_steps(training.batch_size * data.summary.length)
        self.device = next(model.parameters()).device

        self.order = Stream(seed_for(seed, "order"))
        self.noise = Stream(seed_for(seed, "noise"), self.device)
        torch.manual_seed(seed_for(seed, "dropout"))

        betas = (training.beta1, training.beta2)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, training), lr=training.learning_rate, betas=betas, fused=True
        )
        self.ema = EMA(model, training.ema)
        self.progress, self.curve = Progress(), Curve()
        self.environments: list[dict[str, str]] = []
        self.warnings: list[str] = []

    def run(
        self,
        validate: Callable[[], dict[str, float]],
        folder: Path,
        checkpoint_seconds: float,
        report: Callable[[Progress, float], None] = lambda progress, loss: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train to the end of the budget; write checkpoints to `folder` and points to the curves.

        `validate` measures the EMA weights; it is called `training.validations` times, the last time at the end.
        Raises TrainingFailed on a loss that is not finite, Interrupted if `stop()` returns True.
        """
        saved = time.monotonic()
        while self.progress.step < self.steps:
            began = time.monotonic()
            loss = self.step()
            self._synchronize()
            self.progress.seconds += time.monotonic() - began

            self._record(loss, validate)
            report(self.progress, loss)
            if stop():
                checkpoint.save(self.state(), folder)
                raise Interrupted
            if time.monotonic() - saved >= checkpoint_seconds:
                checkpoint.save(self.state(), folder)
                saved = time.monotonic()
        checkpoint.save(self.state(), folder)

    def step(self) -> float:
        """Update the weights and their EMA once; return the loss in nats per token."""
        self.model.train()
        self.model.method.progress = self.progress.step / self.steps
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self.training.rate_at(self.progress.step, self.steps)

        self.optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for x, t in self.batches():
            micro_loss = self.loss(x, t) / self.accumulate
            micro_loss.backward()
            loss += float(micro_loss.detach())
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip or math.inf)
        self._check_finite(loss, float(norm))

        self.optimizer.step()
        self.progress.step += 1
        self.ema.update(self.model, self.progress.step)
        return loss

    def batches(self) -> Iterator[tuple[Tokens, Tensor]]:
        """Draw the sequences and times of one step, split into `accumulate` micro-batches.

        Times are spread evenly over the whole step, with one random offset (as in VDM, arXiv:2107.00630).
        """
        size = self.training.batch_size
        starts = self.order.integers(self.data.starts("train"), size)
        x = self.data.windows("train", starts.numpy()).to(self.device)
        self.progress.tokens += x.numel()

        offset = self.noise.uniform((1,))
        u = (offset + torch.arange(size, dtype=torch.float64, device=self.device) / size) % 1
        t = times(self.model.method, u.clamp(1e-12, 1 - 1e-12))
        yield from zip(x.chunk(self.accumulate), t.chunk(self.accumulate), strict=True)

    def loss(self, x: Tokens, t: Tensor) -> Tensor:
        """Return the objective in nats per token, with the prior and reconstruction loss if they have gradients."""
        method = self.model.method
        x, t = x.repeat_interleave(method.draws, 0), t.repeat_interleave(method.draws, 0)
        self.progress.noise_draws += len(x)
        loss = (1 - method.t_min) * self.noised_loss(partial(self.model.costs, method.objective), x, t)
        if not method.needs.trains_ends:
            return loss

        texts = max(1, len(x) // method.draws // END_DRAWS)
        x = x[: method.draws * texts]  # every noise draw of these texts
        self.progress.end_draws += len(x)
        t = torch.full((len(x),), method.t_min, dtype=torch.float64, device=x.device)
        with in_sequences(method, x):
            return loss + self.noised_loss(partial(last_guess_costs, self.model), x, t) + method.prior_gap(x).mean()

    def noised_loss(self, cost: Callable[..., Nats], x: Tokens, t: Tensor) -> Tensor:
        """Noise x to the times t and return the mean of `cost` over all positions, after the method's `couple`."""
        method = self.model.method
        if method.needs.self_condition:
            return self.self_conditioned_loss(cost, x, t)
        with in_sequences(method, x):
            z = method.corrupt(x, t, self.noise)
            return method.couple(cost(x, z, t), x, z, t).mean()

    def self_conditioned_loss(self, cost: Callable[..., Nats], x: Tokens, t: Tensor) -> Tensor:
        """Return the mean of `cost` over all positions; a random share of the sequences is shown a guess."""
        has_guess = self.noise.uniform((len(x),)) < SELF_CONDITIONED
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for rows, with_guess in ((~has_guess, False), (has_guess, True)):
            if rows.any():
                total = total + self.summed_loss(cost, x[rows], t[rows], with_guess)
        return total / x.numel()

    def summed_loss(self, cost: Callable[..., Nats], x: Tokens, t: Tensor, with_guess: bool) -> Tensor:
        """Return the sum of `cost` over all positions of sequences that are all shown a guess, or all shown none.

        Self-conditioned rows update only the network; the method's own parameters are updated by the remaining rows
        (as in Plaid).
        """
        method, model = self.model.method, self.model
        with frozen(method) if with_guess else nullcontext(), in_sequences(method, x):
            z = method.corrupt(x, t, self.noise)
            guess = model.guess(z, t, torch.full_like(t, with_guess, dtype=torch.bool))
            nats = cost(x, z, t, guess)
            return (nats if with_guess else method.couple(nats, x, z, t)).sum()

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.weights,
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.generator.get_state(),
            "noise": self.noise.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            "environments": self.environments,
            "warnings": self.warnings,
            "progress": vars(self.progress),
            "curve": vars(self.curve),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises ValueError if the checkpoint was written by an older version that lacks some counters.
        """
        missing = vars(Progress()).keys() - state["progress"].keys()
        if missing:
            raise ValueError(f"the checkpoint does not count {', '.join(sorted(missing))}; remove it to train again")

        self.model.load_state_dict(state["model"])
        self.ema.load(state["ema"], self.device)
        self.optimizer.load_state_dict(state["optimizer"])
        self.order.generator.set_state(state["order"])
        self.noise.generator.set_state(state["noise"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"])

        self.progress, self.curve = Progress(**state["progress"]), Curve(**state["curve"])
        self.environments = state["environments"] + self.environments
        self.warnings = state.get("warnings", []) + self.warnings

    def _record(self, loss: float, validate: Callable[[], dict[str, float]]) -> None:
        """Add the points that are due to the learning curves."""
        progress = self.progress
        progress.running_loss += loss
        progress.running_steps += 1
        if due(progress.step, self.steps, LOSS_POINTS):
            mean = progress.running_loss / progress.running_steps
            self.curve.train.append({"tokens": progress.tokens, "value": mean, "seconds": progress.seconds})
            progress.running_loss, progress.running_steps = 0.0, 0
        if due(progress.step, self.steps, self.training.validations):
            self.curve.valid.append({"tokens": progress.tokens, "seconds": progress.seconds, **validate()})

    def _check_finite(self, loss: float, norm: float) -> None:
        """Raise TrainingFailed unless the loss and the gradient norm of this step are finite."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        problem = f"(loss {loss}, gradient norm {norm}) at step {self.progress.step + 1} of {self.steps}"
        hint = f"a smaller learning rate than {self.training.learning_rate} or a longer warm-up may help"
        raise TrainingFailed(f"non-finite loss or gradient {problem}; {hint}")

    def _synchronize(self) -> None:
        """Wait for the device, so that measured time includes all queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute without gradients for the parameters of `module`."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def due(step: int, steps: int, points: int) -> bool:
    """Return True at `points` steps that are spread evenly over 1..`steps`, the last step among them."""
    return step * points // steps > (step - 1) * points // steps


def parameter_groups(model: Model, training: Training) -> list[dict[str, Any]]:
    """Return the parameter groups of the optimizer.

    Weight decay applies to the network's matrices, not its vectors; a method defines groups for its own parameters.
    "share" is the learning rate of a group as a multiple of the network's.
    """
    network = list(model.network.parameters())
    matrices: dict[str, Any] = {"params": [p for p in network if p.dim() >= 2]}
    vectors: dict[str, Any] = {"params": [p for p in network if p.dim() < 2], "weight_decay": 0.0}
    return [
        {
            "params": group["params"],
            "weight_decay": group.get("weight_decay", training.weight_decay),
            "share": group.get("learning_rate", training.learning_rate) / training.learning_rate,
        }
        for group in (matrices, vectors, *model.method.parameter_groups())
        if group["params"]
    ]
