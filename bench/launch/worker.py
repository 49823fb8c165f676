"""What happens to one cell, in a process of its own: train, then each stage that is missing."""

import ctypes
import logging
import signal
import sys
import time
import traceback
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from bench.engine import storage as record
from bench.engine.code_hash import with_stage, written_in
from bench.engine.data import Dataset, DataSpec, load
from bench.engine.environment import Execution, environment, joined, peak_memory, settle
from bench.engine.flops import FlopCounter
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.metrics import mean_nats
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.standard_error import clusters_of
from bench.engine.likelihood.time_density import RecordingModel
from bench.engine.model import checkpoint
from bench.engine.model.network import Shape
from bench.engine.rng import seed_for
from bench.engine.sample.settings import SamplesSpec
from bench.engine.stages.draw_samples import draw, watch
from bench.engine.stages.evaluate_bound import evaluate
from bench.engine.stages.measure_quality import Appraiser
from bench.engine.train.learned_parameters import collect
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Interrupted, Trainer
from bench.launch.exit_codes import BUSY, DONE, FAILED, INTERRUPTED
from bench.launch.progress import Bar
from bench.plan.budget import keep
from methods import PLUGINS, build, plug

log = logging.getLogger(__name__)


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
        if self.device.type == "cpu":  # else threads add the gradients of rows in any order, and equal runs drift apart
            torch.use_deterministic_algorithms(True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
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
        return FAILED if failed else DONE

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
            averaged.load_state_dict(trainer.ema.weights)
            averaged.method.progress = model.method.progress
            parts = bound(averaged, valid, training.validation_draws, 1, 0, self.execution.evaluation_batch)
            found = mean_nats(parts, valid.shape[1], clusters_of(data.facts.source, len(valid)))
            return {"value": found.value, "standard_error": _finite(found.standard_error), "n": found.n}

        with Bar(self.job["title"], trainer.steps, training.batch_size * data.facts.length) as bar:
            trainer.run(validate, folder, self.execution.checkpoint_seconds, bar.advance, lambda: self.stopped)
        averaged.load_state_dict(trainer.ema.weights)
        progress = trainer.progress
        flops = self._price(data.facts.length).trained(progress.noise_draws, progress.end_draws)
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
        batch, title = self.execution.evaluation_batch, f"{self.job['title']}: bound"
        parts, found = evaluate(self._trained(), self.data, BoundSpec(**block), batch, title, self._check)
        np.savez(folder / "sequences.npz", allow_pickle=False, **{name: nats.numpy() for name, nats in parts.items()})
        return found

    def estimate(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """The bound once more, by another estimator or other draws than the one that counts."""
        return self.bound(folder, block)

    def samples(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """Texts drawn from the averaged weights."""
        seed = seed_for(self.job["seed"], "samples")
        return draw(self._trained(), self.data, SamplesSpec(**block), seed, self._check)

    def trajectories(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """Texts with what every network call was shown."""
        seed = seed_for(self.job["seed"], "trajectories")
        return watch(self._trained(), self.data, SamplesSpec(**block), seed, self._check)

    def quality(self, folder: Path, block: dict[str, Any]) -> dict[str, Any]:
        """What the texts of a stage `samples` are worth."""
        drawn = record.read_json(self.cell / block["samples"] / "result.json")
        if drawn is None:
            raise FileNotFoundError(f"{self.cell / block['samples']} holds no texts to measure; run the suite again")
        causal = build(self.job["method"], self.job["vocab_size"], **self.job["options"]).needs.causal
        told = SamplesSpec.model_validate(block["way"]).describe(causal)
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

    def _price(self, length: int) -> FlopCounter:
        method = build(self.job["method"], self.job["vocab_size"], **self.job["options"])
        return FlopCounter(method, Shape(**self.job["network"]), length)

    def _model(self) -> RecordingModel:
        torch.manual_seed(seed_for(self.job["seed"], "init"))
        method = build(self.job["method"], self.job["vocab_size"], **self.job["options"])
        shape = Shape(**self.job["network"])
        return RecordingModel(method, shape, self.job["vocab_size"], self.execution.attention, self.precision).to(
            self.device
        )

    def _trained(self) -> RecordingModel:
        state = checkpoint.load(self.cell / "train")
        if state is None:
            raise FileNotFoundError(f"{self.cell / 'train' / checkpoint.NAME} is missing; remove train/ to train again")
        model = self._model()
        model.load_state_dict(state["ema"])
        return model

    def _stop(self, number: int, frame: Any) -> None:
        if self.stopped:
            raise SystemExit(INTERRUPTED)  # asked twice: at once
        self.stopped = True


def _finite(value: Any) -> Any:
    return None if value != value else value  # JSON has no nan; only errors that do not exist are nan


PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process is sent when its parent dies


def stop_with_parent() -> None:
    """Asks Linux to send SIGTERM when the driver dies, so that no worker goes on unseen; elsewhere it does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
