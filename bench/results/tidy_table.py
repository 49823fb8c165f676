"""The rows of the tidy table: one per measurement of a stage, or one that gives the reason why there is none.

Parameters that a method has learned are metrics of training. If it learned one for each token, these are `power[a]` and
so on in vocabularies of at most 256 tokens. Larger ones have `power_min`, `power_mean` and `power_max`; the single
numbers are in train/result.json and in `SuiteRecord.learned`. Stage `bound` is the headline bound. Other estimates of
it are stages `estimate`, told apart by their way. `integral[...]` are named terms of the integral.

The kind of a score is what it may be called: "exact" is a likelihood with a certificate, or a number that the harness
computes itself, such as the entropy of a source; "certified" is a bound with a certificate. Without a certificate of
the present code, for the same options, precision and estimator, they are a "likelihood" and a "bound".
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine.likelihood.estimators import estimator_for
from bench.engine.measurements import Measurement
from bench.engine.metric_definitions import scalars_of, unit_of
from bench.engine.model.method_instances import method_instance
from bench.engine.records import ControlsResult, DataFacts, Stage, StageResult, StoredSuite, TrainResult
from bench.engine.sample.settings import SamplesSpec
from bench.results.execution_settings import format_made, read_foundations
from bench.results.recorded_cell import RecordedCell
from bench.results.staleness import is_stale, recorded_origin
from bench.results.statistics.paired_differences import describe_difference, minus_headline
from bench.results.suite_certificates import kind_of
from methods import METHODS

COLUMNS = {  # of the tidy table, with default values
    "suite": "",
    "arm": "",
    "method": "",
    "cell": "",
    "seed": 0,
    "data": "",
    "network": "",
    "stage": "",
    "status": "",
    "reason": "",
    "metric": "",
    "unit": "",
    "split": "",
    "tokens": 0,  # seen in training when the value was measured
    "value": math.nan,
    "standard_error": math.nan,
    "monte_carlo_error": math.nan,
    "n": 0,  # documents
    "clusters": 0,  # groups of documents that may vary together; 0 if documents are independent
    "kind": "",  # of a score: "exact", "certified", "likelihood" or "bound"
    "protocol": "",
    "role": "arm",  # or "scorer", which evaluates samples, or "control": reference and adversarial texts
    "way": "",  # how samples were drawn or how the bound was estimated, as text
    "policy": "",  # the same without the number of calls and the temperature
    "temperature": math.nan,
    "texts": "",  # number of samples and their length in tokens: "100 x 128"
    "seconds": math.nan,  # of training when the value was measured, in rows of a learning curve
    "execution": "",  # how its stage and those before it were run: see bench.results.execution_settings
}

MAX_LISTED_TOKENS = 256  # larger vocabularies have summaries instead of a row per token

Row = dict[str, Any]  # by column


def make_rows(runs: Path, suite: StoredSuite, cell: RecordedCell, stage: Stage) -> list[Row]:
    """The rows of one stage: its measurements, or one row with the reason why there are none."""
    result = cell.result(stage)
    row = _context(suite, cell, stage)
    if result is None:
        status, reason = _missing_status(cell, stage)
        return [{**row, "status": status, "reason": reason}]

    stale = is_stale(cell.folder, stage, recorded_origin(cell.stored, suite.facts.source))
    reason = f"made by other code; remove cells/{cell.id}/{stage.folder} of the results to make it again"
    row |= {"status": "stale", "reason": reason} if stale else {"status": "done", "reason": ""}
    row["execution"] = format_made(read_foundations(cell.folder, stage))
    if isinstance(result, ControlsResult):
        return [
            _with_unit({**row, "arm": name, **measurement})
            for name, control in result.controls.items()
            for measurement in _metrics(control, "exact")
        ]

    if hasattr(result, "estimator"):
        row["way"] = f"{result.estimator}{describe_difference(cell, stage)}"
    measurements = [
        *_scalars(result, stage.name),
        *_learned(result),
        *_metrics(result, kind_of(runs, cell, stage, result, stale)),
        *_curve(result),
        *_minus_headline(cell, stage, result),
    ]
    return [_with_unit({**row, **measurement}) for measurement in measurements]


def _with_unit(row: Row) -> Row:
    return {**row, "unit": unit_of(row["metric"])}


def _context(suite: StoredSuite, cell: RecordedCell, stage: Stage) -> Row:
    """What the rows of a stage have in common."""
    return {
        "suite": suite.suite,
        "arm": cell.arm,
        "method": cell.method,
        "cell": cell.id,
        "seed": cell.seed,
        "data": suite.facts.source,
        "network": cell.stored.network,
        "stage": "quality" if stage.name == "controls" else stage.name,
        "tokens": cell.stored.tokens,
        "role": cell.role,
        **_way(cell, stage, suite.facts),
    }


def _way(cell: RecordedCell, stage: Stage, facts: DataFacts) -> Row:
    """How samples are drawn or a bound is estimated, as text; empty for other stages."""
    if stage.name in ("bound", "estimate"):
        return {"way": _describe_bound(cell, stage, facts) + describe_difference(cell, stage)}
    if stage.name == "controls":
        return {"texts": f"{stage.settings['count']} x {stage.settings['length']}"}
    if stage.name not in ("samples", "trajectories", "quality"):
        return {}

    samples = SamplesSpec.model_validate(stage.settings["way"] if stage.name == "quality" else stage.settings)
    words = samples.describe(cell.method in METHODS and METHODS[cell.method].needs.causal)
    row = {
        "way": words["how"],
        "policy": words["family"],
        "temperature": words["temperature"],
        "texts": f"{samples.count} x {samples.length or facts.length}",
    }
    return row | ({"protocol": words["how"]} if stage.name == "samples" else {})


def _describe_bound(cell: RecordedCell, stage: Stage, facts: DataFacts) -> str:
    """How a bound will be estimated, in the words of its result, so that failed seeds join the row of the others.

    For a plug-in that is not loaded, the words are the suite's.
    """
    settings = stage.settings
    if "estimator" not in settings:
        return ""
    if cell.method not in METHODS:
        return f"{settings['estimator']}, {settings['draws']} draws"
    method = method_instance(cell.method, facts.vocab_size, cell.stored.options)
    return estimator_for(method, settings["estimator"]).describe(settings["draws"])


def _scalars(result: StageResult, stage: str) -> list[Row]:
    values = {name: getattr(result, name) for name in scalars_of(stage)}
    return [{"metric": name, "value": float(value)} for name, value in values.items() if value is not None]


def _learned(result: StageResult) -> list[Row]:
    """The method's learned parameters; for a large vocabulary, their minimum, mean and maximum."""
    rows: list[Row] = []
    for name, value in result.learned.items() if isinstance(result, TrainResult) else ():
        if not isinstance(value, dict):
            rows.append({"metric": name, "value": value})
        elif len(value) <= MAX_LISTED_TOKENS:
            rows += [{"metric": f"{name}[{token}]", "value": number} for token, number in value.items()]
        else:
            summary = pd.Series(value).agg(["min", "mean", "max"])
            rows += [{"metric": f"{name}_{statistic}", "value": number} for statistic, number in summary.items()]
    return rows


def _missing_status(cell: RecordedCell, stage: Stage) -> tuple[str, str]:
    """The status of a stage without a result, with the reason; it has failed if an earlier stage failed."""
    for earlier in cell.stages[: cell.stages.index(stage)]:
        status, reason = cell.status(earlier)
        if status == "failed":
            return "failed", f"{earlier.name} failed: {reason}"
    return cell.status(stage)


def _metrics(result: Any, kind: str) -> list[Row]:
    """The metrics of a result in every unit, with the source's own cost of the same sequences if it is known."""
    split, protocol = getattr(result, "split", ""), getattr(result, "protocol", "")
    context = {"split": split, "kind": kind, "protocol": protocol}
    rows = [
        {"metric": name, **_numbers(measurement), **context}
        for name, measurement in getattr(result, "measures", {}).items()
    ]
    source_nats, sample_nats = (getattr(result, name, None) for name in ("source_nats", "sample_nats"))
    if source_nats:
        rows.append({**context, "metric": "source_nats_per_token", **_numbers(source_nats), "kind": "exact"})
    if sample_nats:
        rows.append({"metric": "sample_nats_per_token", **_numbers(sample_nats), "kind": "exact"})
    return rows


def _curve(result: StageResult) -> list[Row]:
    """Training and validation loss by tokens seen, with the seconds of training."""
    return [
        {
            "metric": "nats_per_token",
            "split": split,
            "tokens": point.tokens,
            "seconds": math.nan if point.seconds is None else point.seconds,
            **_numbers(point),
        }
        for split, points in (result.curve.items() if isinstance(result, TrainResult) else ())
        for point in points
    ]


def _minus_headline(cell: RecordedCell, stage: Stage, result: Any) -> list[Row]:
    """The difference of another estimate of the bound from the headline bound."""
    difference = minus_headline(cell, stage) if stage.name == "estimate" else None
    if difference is None:
        return []
    return [{"metric": "minus_headline", "protocol": result.protocol, **_numbers(Measurement.of(difference))}]


def _numbers(measurement: Measurement) -> Row:
    fields = ("value", "standard_error", "monte_carlo_error")
    numbers = {name: getattr(measurement, name) for name in fields}
    row = {name: math.nan if number is None else number for name, number in numbers.items()}
    return row | {"n": measurement.n, "clusters": measurement.clusters}
