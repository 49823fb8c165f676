"""The one training loop: the same budget, optimiser, order of data and counting for every method."""

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
from bench.engine.model.model import END_DRAWS, Model, last_guess_costs, times
from bench.engine.rng import Stream, seed_for
from bench.engine.train.settings import Budget, Training
from methods.method import Nats, Tokens

SELF_CONDITIONED = 0.25  # the share of sequences that are shown the network's own guess in training, as in Plaid
LOSS_POINTS = 200  # training losses that are kept, as means over equal numbers of steps


class TrainingFailed(RuntimeError):
    """Training stopped for a reason that belongs into the table, such as a loss that is not finite."""


class Interrupted(Exception):
    """A signal asked the worker to stop; training has written a checkpoint."""


@dataclass
class Curve:
    """What training shows of itself: points (tokens seen, value, ...) for the plots."""

    train: list[dict[str, float]] = field(default_factory=list)
    valid: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Progress:
    """The counters of a training; all of it goes into checkpoints, so nothing is gained by being interrupted."""

    step: int = 0
    tokens: int = 0
    noisings: int = 0  # noised sequences that went through the network with gradients
    ends: int = 0  # of the same, those noised to the ends of the bound, which are not counted above
    seconds: float = 0.0
    running_loss: float = 0.0  # sum over the steps since the last point of the curve
    running_steps: int = 0


class Trainer:
    """Trains a model in place for exactly the budget; `resume` continues from a checkpoint bit for bit on CPU.

    `environments` lists where it was trained: more than one after a resume with other code or on another device.
    """

    def __init__(self, model: Model, data: Dataset, training: Training, budget: Budget, seed: int, accumulate: int = 1):
        self.model, self.data, self.training, self.accumulate = model, data, training, accumulate
        self.steps = budget.in_steps(training.batch_size * data.facts.length)
        self.device = next(model.parameters()).device
        self.order = Stream(seed_for(seed, "order"))
        self.noise = Stream(seed_for(seed, "noise"), self.device)
        torch.manual_seed(seed_for(seed, "dropout"))
        self.optimiser = torch.optim.AdamW(
            groups(model, training),
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            fused=True,
        )
        self.average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.progress, self.curve = Progress(), Curve()
        self.environments: list[dict[str, str]] = []

    def run(
        self,
        validate: Callable[[], dict[str, float]],
        folder: Path,
        checkpoint_seconds: float,
        report: Callable[[Progress, float], None] = lambda progress, loss: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Trains to the end of the budget, with checkpoints in `folder` and points on the curve.

        `validate` measures the averaged weights; it is called `training.validations` times, at the end too.
        Raises TrainingFailed on a loss that is not finite, Interrupted after `stop` answered yes.
        """
        saved = time.monotonic()
        while self.progress.step < self.steps:
            began = time.monotonic()
            loss = self.step()
            self.synchronise()
            self.progress.seconds += time.monotonic() - began
            self.record(loss, validate)
            report(self.progress, loss)
            if stop():
                checkpoint.save(self.state(), folder)
                raise Interrupted
            if time.monotonic() - saved >= checkpoint_seconds:
                checkpoint.save(self.state(), folder)
                saved = time.monotonic()
        checkpoint.save(self.state(), folder)

    def step(self) -> float:
        """One update of the weights and of their average; returns the loss in nats per token."""
        self.model.train()
        self.model.method.progress = self.progress.step / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = group["share"] * self.training.rate_at(self.progress.step, self.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss = 0.0
        for x, t in self.batches():
            part = self.loss(x, t) / self.accumulate
            part.backward()
            loss += float(part.detach())
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip or math.inf)
        if not (math.isfinite(loss) and bool(norm.isfinite())):
            where = f"(loss {loss}, gradient norm {float(norm)}) at step {self.progress.step + 1} of {self.steps}"
            hint = f"a smaller learning rate than {self.training.learning_rate} or a longer warm-up may help"
            raise TrainingFailed(f"non-finite loss or gradient {where}; {hint}")
        self.optimiser.step()
        self.progress.step += 1
        self.update_average()
        return loss

    def batches(self) -> Iterator[tuple[Tokens, Tensor]]:
        """One step's sequences and times, in `accumulate` parts; times are spread evenly over the whole step."""
        size = self.training.batch_size
        starts = self.order.integers(self.data.starts("train"), size)
        x = self.data.windows("train", starts.numpy()).to(self.device)
        self.progress.tokens += x.numel()
        offset = self.noise.uniform((1,))
        u = (offset + torch.arange(size, dtype=torch.float64, device=self.device) / size) % 1
        t = times(self.model.method, u.clamp(1e-12, 1 - 1e-12))
        yield from zip(x.chunk(self.accumulate), t.chunk(self.accumulate), strict=True)

    def loss(self, x: Tokens, t: Tensor) -> Tensor:
        """The method's objective in nats per token; its two ends as well where they carry gradients."""
        method = self.model.method
        x, t = x.repeat_interleave(method.draws, 0), t.repeat_interleave(method.draws, 0)
        self.progress.noisings += len(x)
        loss = (1 - method.t_min) * self.mean(partial(self.model.costs, method.objective), x, t)
        if method.needs.trains_ends:
            some = x[: method.draws * max(1, len(x) // method.draws // END_DRAWS)]  # all noisings of some texts
            self.progress.ends += len(some)
            t = torch.full((len(some),), method.t_min, dtype=torch.float64, device=x.device)
            loss = loss + self.mean(partial(last_guess_costs, self.model), some, t) + method.prior_gap(some).mean()
        return loss

    def mean(self, cost: Callable[..., Nats], x: Tokens, t: Tensor) -> Tensor:
        """The mean over positions of a cost of x noised to t, with what the method couples to it."""
        method = self.model.method
        if not method.needs.self_condition:
            z = method.corrupt(x, t, self.noise)
            return method.couple(cost(x, z, t), x, z, t).mean()
        shown = self.noise.uniform((len(x),)) < SELF_CONDITIONED
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for rows in (~shown, shown):
            if rows.any():
                total = total + self.sum_of_rows(cost, x[rows], t[rows], rows is shown)
        return total / x.numel()

    def sum_of_rows(self, cost: Callable[..., Nats], x: Tokens, t: Tensor, shown: bool) -> Tensor:
        """The sum over positions of a cost of sequences that are shown the network's own guess, or none.

        Those that are teach the network alone: the method's own parameters learn from the others (as in Plaid).
        """
        method, model = self.model.method, self.model
        with frozen(method) if shown else nullcontext():
            z = method.corrupt(x, t, self.noise)
            nats = cost(x, z, t, model.guess(z, t, torch.full_like(t, shown, dtype=torch.bool)))
        return (nats if shown else method.couple(nats, x, z, t)).sum()

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average, its decay ramped up as (1 + n) / (10 + n) over the first steps."""
        n = self.progress.step
        decay = min(self.training.ema, (1 + n) / (10 + n))
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)

    def record(self, loss: float, validate: Callable[[], dict[str, float]]) -> None:
        """Adds points to the curve where they are due."""
        progress = self.progress
        progress.running_loss += loss
        progress.running_steps += 1
        if due(progress.step, self.steps, LOSS_POINTS):
            mean = progress.running_loss / progress.running_steps
            self.curve.train.append({"tokens": progress.tokens, "value": mean, "seconds": progress.seconds})
            progress.running_loss, progress.running_steps = 0.0, 0
        if due(progress.step, self.steps, self.training.validations):
            self.curve.valid.append({"tokens": progress.tokens, "seconds": progress.seconds, **validate()})

    def synchronise(self) -> None:
        """Waits for the device, so that the clock counts finished work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def state(self) -> dict[str, Any]:
        """Everything that training depends on, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.generator.get_state(),
            "noise": self.noise.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            "environments": self.environments,
            "progress": vars(self.progress),
            "curve": vars(self.curve),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Puts back what `state` returned; raises ValueError where it was written by code that counted less."""
        lacks = vars(Progress()).keys() - state["progress"].keys()
        if lacks:
            raise ValueError(f"the checkpoint does not count {', '.join(sorted(lacks))}; remove it to train again")
        self.model.load_state_dict(state["model"])
        self.average = {name: tensor.to(self.device) for name, tensor in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.generator.set_state(state["order"])
        self.noise.generator.set_state(state["noise"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"])
        self.progress, self.curve = Progress(**state["progress"]), Curve(**state["curve"])
        self.environments = state["environments"] + self.environments


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is computed inside carries no gradient to the module's parameters."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def due(step: int, steps: int, points: int) -> bool:
    """True at `points` steps spread evenly over all, the last among them."""
    return step * points // steps > (step - 1) * points // steps


def groups(model: Model, training: Training) -> list[dict[str, Any]]:
    """The parameters for the optimiser: of the network, matrices decay and vectors do not; the method groups its own.

    "share" is the learning rate in terms of the network's.
    """
    network = list(model.network.parameters())
    decays: dict[str, Any] = {"params": [p for p in network if p.dim() >= 2]}
    keeps: dict[str, Any] = {"params": [p for p in network if p.dim() < 2], "weight_decay": 0.0}
    return [
        {
            "params": group["params"],
            "weight_decay": group.get("weight_decay", training.weight_decay),
            "share": group.get("learning_rate", training.learning_rate) / training.learning_rate,
        }
        for group in (decays, keeps, *model.method.parameter_groups())
        if group["params"]
    ]
