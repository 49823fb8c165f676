"""Sample quality by row: each arm with each of its sampling settings, and each control.

A control is text that no network wrote: held-out text, the row "data", or an adversary that is made to win one metric.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.engine.metric_definitions import JUDGED, QUALITY
from bench.engine.quality.controls import DATA
from bench.results.statistics.pooled import ArmResults, PooledEstimate
from bench.results.statistics.resolution import resolution
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import distinguish, name_ways, select_arms, split_arms
from reports.tables.table_model import metric_column

STAGES = ("quality", "samples")
CONTROL = "control text"  # behind the name of a control that an arm has
COLUMNS = (
    *(metric_column("quality", metric.name) for metric in QUALITY),
    metric_column("samples", "network_calls", is_marked=False),
    metric_column("samples", "seconds_per_sequence", is_marked=False),
    metric_column("samples", "tokens_per_second", is_marked=False),
)

Estimates = dict[str, PooledEstimate]  # row label -> number


@dataclass(frozen=True)
class QualityResults:
    """The numbers of all rows by metric."""

    arms: dict[str, pd.DataFrame]  # row label -> rows of the tidy table
    controls: dict[str, pd.DataFrame]
    data: str  # the row label of held-out text
    estimates: dict[str, Estimates]  # metric -> row label -> number, if it was measured
    shape: str = ""  # number and length of the texts, such as "100 x 128"

    @property
    def labels(self) -> list[str]:
        """The labels of all rows: arms, then controls."""
        return [*self.arms, *self.controls]

    def list_measured_arms(self, metric: str) -> list[str]:
        """The labels of the arms that have a metric."""
        return [label for label in self.arms if label in self.estimates.get(metric, {})]

    def compared(self, metric: str) -> Estimates:
        """The numbers of a metric on its scale, with errors that are not below its resolution; for comparisons."""
        estimates = self.estimates.get(metric, {})
        return {label: floor_errors(estimate.linear, metric, self.shape) for label, estimate in estimates.items()}


def floor_errors(estimate: PooledEstimate, metric: str, shape: str) -> PooledEstimate:
    """The estimate with errors no smaller than the resolution of its metric."""
    step = resolution(metric, estimate.documents, shape)
    error, sampling = (float(np.fmax(size, step)) for size in (estimate.error, estimate.sampling))  # of NaN, the step
    return replace(estimate, error=error, sampling=sampling)


def find_estimate(results: ArmResults, metric: str) -> PooledEstimate | None:
    """The number of a row, from the first stage that has it."""
    estimates = (results.find(stage, metric) for stage in STAGES)
    return next((estimate for estimate in estimates if estimate), None)


def list_shapes(record: SuiteRecord) -> list[str]:
    """The number and length of the samples, such as "100 x 128", in the order of the record."""
    texts = record.table.loc[record.table["stage"].isin(STAGES), "texts"]
    return [str(shape) for shape in dict.fromkeys(texts) if shape]


def split_shapes(record: SuiteRecord) -> dict[str, SuiteRecord]:
    """The record split by the number and length of its samples; only those of one shape are comparable."""
    shapes = list_shapes(record)
    if len(shapes) < 2:
        return dict.fromkeys(shapes or [""], record)
    tables = {shape: record.table[record.table["texts"].isin(["", shape])] for shape in shapes}
    return {shape: replace(record, table=table) for shape, table in tables.items()}


def split_ways(record: SuiteRecord) -> dict[str, pd.DataFrame]:
    """The rows of each arm and sampling setting whose quality is measured, by "arm: setting", in suite order."""
    rows = select_arms(record)
    rows = rows[rows["stage"].isin(STAGES)]
    groups = {(str(arm), str(way)): way_rows for (arm, way), way_rows in rows.groupby(["arm", "way"], sort=False)}
    measured = {key: way_rows for key, way_rows in groups.items() if (way_rows["stage"] == "quality").any()}
    labels = name_ways(measured)
    return {labels[key]: way_rows for key, way_rows in measured.items()}


def split_controls(record: SuiteRecord) -> dict[str, pd.DataFrame]:
    """The rows of each control by its name."""
    controls = record.table[record.table["role"] == "control"]
    return {str(name): rows for name, rows in controls.groupby("arm", sort=False)}


def collect_quality(record: SuiteRecord) -> QualityResults:
    """All quality numbers of a record, pooled over seeds."""
    arms, kinds = split_ways(record), split_controls(record)
    taken = {*arms, *split_arms(record)}
    labels = {kind: distinguish(kind, taken, CONTROL) for kind in (DATA, *kinds)}
    controls = {labels[kind]: rows for kind, rows in kinds.items()}
    results = {label: ArmResults(rows) for label, rows in (arms | controls).items()}
    estimates: dict[str, Estimates] = {}
    for column in COLUMNS:
        for label, row_results in results.items():
            if estimate := find_estimate(row_results, column.metric):
                estimates.setdefault(column.metric, {})[label] = estimate
    return QualityResults(arms, controls, labels[DATA], estimates, next(iter(list_shapes(record)), ""))


def list_losses(metric: str, results: QualityResults) -> Estimates:
    """The numbers on the scale of the metric, turned so that lower is better.

    Empty if the metric is not judged or needs missing held-out text.
    """
    estimates = results.compared(metric)
    better, data = JUDGED.get(metric), estimates.get(results.data)
    if better is None or (better == "nearer" and data is None):
        return {}
    target = data.value if data else 0.0
    losses = {}
    for label, estimate in estimates.items():
        loss = {
            "lower": estimate.value,
            "higher": -estimate.value,
            "nearer": abs(estimate.value - target),
        }[better]
        losses[label] = replace(estimate, value=loss)
    return losses


def find_winners(metric: str, results: QualityResults) -> list[str]:
    """The adversaries that beat every arm in a metric."""
    losses = list_losses(metric, results)
    arms = [loss.value for label, loss in losses.items() if label in results.arms]
    if not arms:
        return []
    adversaries = [label for label in losses if label in results.controls and label != results.data]
    return [label for label in adversaries if losses[label].value < min(arms)]
