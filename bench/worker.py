"""What happens to one cell, in a process of its own: train, then each stage that is missing."""

import ctypes
import logging
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from bench import cell as record
from bench import checkpoint
from bench.bound import bound, calls, choose, say_estimator
from bench.clusters import clusters_of
from bench.code import with_stage, written_in
from bench.data import Dataset, DataSpec, load
from bench.environment import environment, joined, settle
from bench.learned import collect
from bench.measures import mean_nats, measures
from bench.model import Model
from bench.network import Shape
from bench.price import Price
from bench.profile import Seen, Watched, profile
from bench.progress import Bar
from bench.promise import keep
from bench.quality.appraise import Appraiser, as_json
from bench.rng import seed_for
from bench.sample import Samples, sample, sample_long
from bench.spec import BoundSpec, Budget, Execution, SamplesSpec, Training
from bench.train import Interrupted, Trainer
from bench.trajectory import encode, show_tokens
from methods import PLUGINS, build, plug

log = logging.getLogger(__name__)

FAILED, BUSY, INTERRUPTED = 3, 75, 130  # exit codes; 75: another process is at work on the cell
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process is sent when its parent dies


class Worker:
    """Carries out the job in a cell's folder."""

    def __init__(self, cell: Path):
        """Raises BrokenRecord when there is no job in the folder."""
        self.cell, self.job = cell, record.read_json(cell / "job.json")
        if self.job is None:
            raise record.BrokenRecord(f"{cell} holds no job.json; cells are started by bench run")
        self.execution = Execution(**self.job["execution"])
        self.device, self.precision = settle(self.execution)
        self.stopped = False
        self.appraisers: list[tuple[dict[str, Any], Appraiser]] = []  # by what they were asked for

    def run(self) -> int:
        """Does every stage that has no result; one that fails stops only those that need it.

        Returns the exit code: 0, 3 after a failure, 75 when another process holds the cell, 130 when stopped.
        """
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._stop)
        stop_with_parent()
        try:
            with record.at_work(self.cell):
                return self._do_stages()
        except record.Busy as busy:
            log.error("%s", busy)
            return BUSY

    def _do_stages(self) -> int:
        failed: set[str] = set()
        for stage in self.job["stages"]:
            folder = self.cell / stage["folder"]
            if record.read_json(folder / "result.json") is not None or stage["block"].get("samples") in failed:
                continue
            if self.stopped:
                return INTERRUPTED
            try:
                self._do(stage, folder)
            except Interrupted:
                return INTERRUPTED
            except Exception as error:
                log.error("%s of %s failed: %s", stage["name"], self.cell.name, error)
                record.fail(folder, f"{type(error).__name__}: {error}", traceback.format_exc())
                failed.add(stage["folder"])
                if stage["name"] == "train":
                    break
        return FAILED if failed else 0

    def _do(self, stage: dict[str, Any], folder: Path) -> None:
        self._plug()
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        result = getattr(self, stage["name"])(folder, stage["block"])
        seconds = time.monotonic() - began
        made = self._environment(stage["name"])
        record.succeed(folder, {"environment": made, "block": stage["block"], "seconds": seconds, **result})

    def _check(self, *shown: Any) -> None:
        """Raises Interrupted when the worker was asked to stop."""
        if self.stopped:
            raise Interrupted

    def _plug(self) -> None:
        """Registers the plug-in that the method comes from; raises ValueError when it changed since it was planned."""
        if self.job["plugin"]:
            plug(Path(self.job["plugin"]))
        plugin = PLUGINS.get(self.job["method"])
        if (plugin.code if plugin else None) != self.job["science"].get("plugin"):
            where = plugin.place if plugin else self.job["method"]
            raise ValueError(f"plug-in {where} changed since the suite was planned; run it again")

    def _environment(self, stage: str) -> dict[str, str]:
        files = written_in(self.job["method"]) if self.job["method"] else ()
        return environment(self.device, self.precision, self.execution, with_stage(files, stage))

    def train(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """Trains from the last checkpoint, or from the start, to the end of the budget.

        Raises BrokenPromise where what was counted is not what the suite promised.
        """
        data, model, averaged = self.data, self._model(), self._model()
        training = Training(**self.job["training"])
        trainer = Trainer(
            model, data, training, Budget(steps=self.job["steps"]), self.job["seed"], self.execution.accumulate
        )
        trainer.environments.append(self._environment("train"))
        state = checkpoint.load(folder)
        if state is not None:
            trainer.resume(state)
            log.info("resumed at step %d of %d", trainer.progress.step, trainer.steps)
        if self.execution.compile:
            model.compile_network()
        valid = data.sequences("valid")[: training.validation_sequences]

        def validate() -> dict[str, float]:
            averaged.load_state_dict(trainer.average)
            averaged.method.progress = model.method.progress
            parts = bound(averaged, valid, training.validation_draws, 1, 0, self.execution.evaluation_batch)
            found = mean_nats(parts, valid.shape[1], clusters_of(data.facts.source, len(valid)))
            return {"value": found.value, "standard_error": _finite(found.standard_error), "n": found.n}

        with Bar(self.job["title"], trainer.steps, training.batch_size * data.facts.length) as bar:
            trainer.run(validate, folder, self.execution.checkpoint_seconds, bar.advance, lambda: self.stopped)
        averaged.load_state_dict(trainer.average)
        progress = trainer.progress
        flops = self._price(data.facts.length).trained(progress.noisings, progress.ends)
        counted = {"steps": progress.step, "tokens": progress.tokens, "flops": flops}
        keep(self.job["promise"], counted)
        return {
            **counted,
            "epochs": progress.tokens / data.facts.tokens["train"],
            "seconds": progress.seconds,
            "tokens_per_second": progress.tokens / progress.seconds,
            "peak_memory_bytes": peak_memory(self.device),
            **model.parameter_counts(),
            "curve": asdict(trainer.curve),
            "learned": collect(averaged.method, data),
            "environment": joined(trainer.environments),
        }

    def bound(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """The bound on the asked split, with the averaged weights."""
        spec, data, model = BoundSpec(**block), self.data, self._trained()
        x = data.sequences(spec.split)[: spec.sequences]
        began = time.monotonic()
        with Bar(f"{self.job['title']}: bound", len(x), x.shape[1]) as bar:

            def reach(done: int) -> None:
                bar.reach(done)
                self._check()

            settings = (spec.draws, spec.replicates, spec.seed, self.execution.evaluation_batch, reach, spec.estimator)
            model.seen = Seen()
            parts = bound(model, x, *settings, addends=True)
        np.savez(folder / "sequences.npz", allow_pickle=False, **{name: nats.numpy() for name, nats in parts.items()})
        sizes, clusters = [data.count_bytes(row) for row in x], clusters_of(data.facts.source, len(x))
        length, integral = x.shape[1], parts["integral"]
        found = measures(parts, length, sizes, data.facts.level, clusters)
        return {
            "split": spec.split,
            "kind": "exact" if model.method.exact else "bound",
            "estimator": say_estimator(model.method, spec.estimator, spec.draws),
            "network_calls": calls(model.method, spec.draws, spec.estimator),
            "measures": {name: as_json(value) for name, value in found.items()},
            "profile": profile(model.seen, model.method, integral, length, spec.draws, spec.estimator, clusters),
            "source_nats": self._source_nats(x),
            "seconds": time.monotonic() - began,
            "protocol": self._protocol(model, spec, x),
        }

    def estimate(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """The bound once more, by another estimator or other draws than the one that counts."""
        return self.bound(folder, block)

    def samples(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """Texts drawn from the averaged weights."""
        spec, data, model = SamplesSpec(**block), self.data, self._trained()
        began = time.monotonic()
        drawn = draw_samples(model, spec, data.facts.length, seed_for(self.job["seed"], "samples"), self._check)
        seconds = time.monotonic() - began
        return {
            **spec.told(model.method.needs.causal),
            "texts": [data.decode(row) for row in drawn.ids],
            "ids": drawn.ids.tolist(),
            "network_calls": drawn.network_calls,
            "cut_off_share": drawn.cut_off_share,
            "seconds_per_sequence": seconds / spec.count,
            "tokens_per_second": drawn.ids.numel() / seconds,
            "sample_nats": self._source_nats(drawn.ids),
        }

    def trajectories(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """Texts with what every network call was shown."""
        spec, data, model = SamplesSpec(**block), self.data, self._trained()
        frames: list[Tensor] = []

        def keep(shown: Tensor) -> None:
            self._check()
            frames.append(shown.cpu())

        seed = seed_for(self.job["seed"], "trajectories")
        drawn = sample(
            model,
            spec.count,
            spec.length or data.facts.length,
            spec.calls,
            seed,
            how=spec.how(),
            watch=keep,
        )
        return {
            **spec.told(model.method.needs.causal),
            "grid": getattr(spec.policy, "grid", ""),
            "network_calls": drawn.network_calls,
            "symbols": show_tokens(data),
            "texts": encode([*frames, drawn.ids]),
            "finals": [data.decode(row) for row in drawn.ids],
        }

    def quality(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """What the texts of a stage `samples` are worth."""
        drawn = record.read_json(self.cell / block["samples"] / "result.json")
        if drawn is None:
            raise FileNotFoundError(f"{self.cell / block['samples']} holds no texts to measure; run the suite again")
        causal = build(self.job["method"], self.job["vocab_size"], **self.job["options"]).needs.causal
        told = SamplesSpec.model_validate(block["way"]).told(causal)
        return {**told, **self._appraiser(block).appraise(torch.tensor(drawn["ids"]))}

    def controls(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """Held-out text and adversaries, measured as the texts of the arms are."""
        return {"controls": self._appraiser(block).controls(block["count"], block["length"])}

    def _appraiser(self, block: dict[str, Any]) -> Appraiser:
        """The one for a stage's scorer and settings, made once for all ways of sampling."""
        asked = {name: block[name] for name in ("quality", "scorer", "steps")}
        for known, made in self.appraisers:
            if known == asked:
                return made
        base, cells = Path(self.job["base"]), self.cell.parent
        made = Appraiser.of(block, self.data, base, cells, self.device, self._check)
        self.appraisers.append((asked, made))
        return made

    @cached_property
    def data(self) -> Dataset:
        """The data that the suite was planned with; raises ValueError when they changed since."""
        spec = TypeAdapter(DataSpec).validate_python(self.job["data"])
        data = load(spec, Path(self.job["base"]), self.cell.parent.parent / "data")
        if data.facts.fingerprint != self.job["fingerprint"]:
            raise ValueError(f"the data of source {spec.source} changed since the suite was planned; run it again")
        return data.of_reserve() if self.job["part"] == "reserve" else data

    def _price(self, length: int) -> Price:
        method = build(self.job["method"], self.job["vocab_size"], **self.job["options"])
        return Price(method, Shape(**self.job["network"]), length)

    def _model(self) -> Watched:
        torch.manual_seed(seed_for(self.job["seed"], "init"))
        method = build(self.job["method"], self.job["vocab_size"], **self.job["options"])
        shape = Shape(**self.job["network"])
        return Watched(method, shape, self.job["vocab_size"], self.execution.attention, self.precision).to(self.device)

    def _trained(self) -> Watched:
        state = checkpoint.load(self.cell / "train")
        if state is None:
            raise FileNotFoundError(f"{self.cell / 'train' / checkpoint.NAME} is missing; remove train/ to train again")
        model = self._model()
        model.load_state_dict(state["average"])
        return model

    def _protocol(self, model: Model, spec: BoundSpec, x: Tensor) -> str:
        """What a number of the bound depends on beside the model, in words."""
        method, chosen = model.method, choose(model.method, spec.estimator)
        ends = "" if chosen == "counted" else " with both ends"
        if method.needs.steps:
            ends = ", last guess" * (method.t_min > 0)
        mirrored = "" if chosen == "independent" else "mirrored "
        draws = f"{spec.draws} {mirrored}draws x {spec.replicates}, noise {spec.seed}"
        how = "exact likelihood" if method.exact else f"{say_estimator(method, spec.estimator)}{ends}, {draws}"
        text = f"{spec.split} packed without overlap, {x.shape[1]} tokens a sequence"
        return f"{how}; {text}; averaged weights; {self.precision}"

    def _source_nats(self, x: Tensor) -> dict[str, Any] | None:
        """For a source whose law is known: its own -log p of the very sequences x, nats per token."""
        exact = self.data.exact_nats(x)
        return None if exact is None else as_json(mean_nats({"exact": exact[:, None]}, x.shape[1]))

    def _stop(self, number: int, frame: Any) -> None:
        if self.stopped:
            raise SystemExit(INTERRUPTED)  # asked twice: at once
        self.stopped = True


def stop_with_parent() -> None:
    """Asks Linux to send SIGTERM when the driver dies, so that no worker goes on unseen; elsewhere it does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def draw_samples(
    model: Model, spec: SamplesSpec, window: int, seed: int, watch: Callable[[Tensor], None] | None = None
) -> Samples:
    """Texts as the suite asks for them; `window` is the length of training. `watch` is called at each network call of
    texts that are no longer than that."""
    length = spec.length or window
    if length <= window:
        return sample(model, spec.count, length, spec.calls, seed, how=spec.how(), watch=watch)
    return sample_long(model, spec.count, window, length, spec.stride or max(1, window // 2), seed, spec.how())


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far: those that torch allocated on a GPU; else all that were
    resident in memory, Python and torch themselves included."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "linux":  # where getrusage still knows the size of the process that started this one
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _finite(value: Any) -> Any:
    return None if value != value else value  # JSON has no nan; only errors that do not exist are nan
