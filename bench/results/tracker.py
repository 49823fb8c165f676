"""Tracking while a suite runs: cell by cell, until the store fails once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.engine.record_files import BrokenRecord
from bench.results import mlflow_tracking, suite_record
from bench.results.mlflow_errors import StoreError, explain
from bench.results.tracking_gaps import close_gap, write_gap

log = logging.getLogger(__name__)


class Tracker:
    """Brings MLflow's store up to date after each cell.

    After its first failure the store is not asked again. The records that it lacks are noted for their reports, and
    `bench sync` brings it up to date.
    """

    def __init__(self, runs: Path):
        self.runs = runs
        self.error: StoreError | None = None
        self.untracked: list[str] = []  # records that the store lacks a part of

    def track(self, record: str, cell: str | None = None) -> None:
        """Track one cell of a record, or all of them; a failure is noted, and stops nothing."""
        if self.error is None:
            try:
                table = suite_record.read(self.runs, record, only=cell).table
                mlflow_tracking.track(self.runs, record, table)
            except StoreError as error:
                self.error = error
            except Exception as error:  # results are safe in their folders, whatever became of their copy
                self.error = explain(mlflow_tracking.tracking_uri(self.runs), error)
        if self.error is not None and record not in self.untracked:
            self.untracked.append(record)
            with _told():
                write_gap(self.runs, record, self.error.problem)

    def close(self, record: str) -> None:
        """Note that the store holds a record, if it does."""
        if record not in self.untracked:
            with _told():
                close_gap(self.runs, record)


@contextmanager
def _told() -> Iterator[None]:
    """Say that a note cannot be written; it stops nothing."""
    try:
        yield
    except BrokenRecord as error:
        log.error("%s", error)
