"""The table of sampling settings: a row for each arm and setting that its samples were drawn with."""

from dataclasses import replace

from bench.results.suite_record import SuiteRecord
from reports.tables.arms import label_by_way, select_arms
from reports.tables.format_numbers import format_seeds
from reports.tables.table_model import Column, Table, build_table, metric_column

COLUMNS = (
    metric_column("samples", "network_calls", is_marked=False),
    metric_column("samples", "seconds_per_sequence", is_marked=False),
    Column("samples", "seconds_per_sequence", "Seeds", "sampled", format_seeds, is_marked=False),
    metric_column("samples", "sample_nats_per_token", is_marked=False),
    metric_column("samples", "cut_off_share", is_marked=False),
)
NATS = "-log p by the source: the law of the source scores the samples; its own texts cost {:.4f} nats per token"


def has_samplers(record: SuiteRecord) -> bool:
    """Whether some arm is sampled with several settings, which then have a table of their own."""
    rows = select_arms(record)
    samples = rows[rows["stage"] == "samples"]
    return bool((samples.groupby(["arm", "seed"])["protocol"].nunique() > 1).any())


def build_samplers(record: SuiteRecord) -> Table | None:
    """Network calls, seconds and, if the source's law is known, its score; None if no arm has several settings."""
    if not has_samplers(record):
        return None
    rows = select_arms(record)
    samples = rows[rows["stage"] == "samples"]
    is_complete = samples["status"].isin(["done", "stale"]).all()
    part = replace(record, table=label_by_way(samples, "protocol"), state="complete" if is_complete else record.state)

    measured = set(samples.loc[samples["value"].notna() & (samples["value"] != 0), "metric"])
    columns = [column for column in COLUMNS if column.metric in measured]
    table = build_table(part, columns, f"{record.suite}: how texts are sampled")
    entropy, length = record.data.entropy_nats, record.data.length
    notes = [("", NATS.format(entropy / length))] if entropy and length else []
    return replace(table, footnotes=(*table.footnotes, *notes))
