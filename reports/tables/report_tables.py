"""All tables of a record, each built once for the terminal, the files and the page."""

from dataclasses import dataclass

from bench.results.suite_record import SuiteRecord
from reports.tables.breakdown import build_breakdown
from reports.tables.differences import build_deltas
from reports.tables.estimators import build_estimators
from reports.tables.fairness import build_fairness
from reports.tables.main_table import build_main
from reports.tables.quality import build_qualities
from reports.tables.samplers import build_samplers
from reports.tables.table_model import Table
from reports.tables.tuning import build_tuning


@dataclass(frozen=True)
class Tables:
    """The tables of one record; None or [] if there is nothing to show."""

    main: Table
    deltas: Table | None
    estimators: Table | None
    samplers: Table | None
    tuning: Table | None
    quality: list[Table]  # with the columns that fit on a screen
    quality_in_full: list[Table]  # with every column
    fairness: Table
    breakdown: Table

    @property
    def optional(self) -> dict[str, Table | None]:
        """Tables that only some suites have, by name."""
        return {
            "deltas": self.deltas,
            "estimators": self.estimators,
            "samplers": self.samplers,
            "tuning": self.tuning,
        }


def build_tables(record: SuiteRecord) -> Tables:
    """All tables of a record."""
    return Tables(
        main=build_main(record),
        deltas=build_deltas(record),
        estimators=build_estimators(record),
        samplers=build_samplers(record),
        tuning=build_tuning(record),
        quality=build_qualities(record),
        quality_in_full=build_qualities(record, every_column=True),
        fairness=build_fairness(record),
        breakdown=build_breakdown(record),
    )
