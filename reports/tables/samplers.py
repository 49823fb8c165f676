"""The table of the ways in which texts were drawn: a row for each arm and each way."""

from dataclasses import replace

from bench.results.statistics.pooled import Estimate
from bench.results.suite_record import Record
from reports.tables.arms import choose_arms
from reports.tables.main import Column, Table, build, has_samplers, write_error


def write_whole(number: Estimate) -> tuple[str, str]:
    """A mean of counts without needless digits."""
    return f"{number.value:,g}", ""


def write_seeds(number: Estimate) -> tuple[str, str]:
    """How many seeds there are, of how many that were planned."""
    return f"{number.seeds} of {number.planned}", ""


COLUMNS = (
    Column("samples", "network_calls", "Network", "calls", write_whole, is_marked=False),
    Column("samples", "seconds_per_sequence", "Seconds", "a text", write_error, is_marked=False),
    Column("samples", "seconds_per_sequence", "Seeds", "drawn", write_seeds, is_marked=False),
    Column("samples", "sample_nats_per_token", "-log p by the source", "nats per token", write_error, is_marked=False),
    Column("samples", "cut_off_share", "Laws cut off", "share", write_error, is_marked=False),
)
NATS = "what the texts cost by the law of their source; texts of the source itself cost {:.4f} nats per token"


def build_samplers(record: Record) -> Table | None:
    """Calls, seconds and, where its law is known, what the source says of the texts; None without several ways."""
    if not has_samplers(record):
        return None
    rows = choose_arms(record)
    drawn = rows[rows["stage"] == "samples"]
    state = "complete" if drawn["status"].isin(["done", "stale"]).all() else record.state
    ways = replace(record, table=drawn.assign(arm=drawn["arm"] + ": " + drawn["protocol"]), state=state)
    told = set(drawn.loc[drawn["value"].notna() & (drawn["value"] != 0), "metric"])
    table = build(ways, [column for column in COLUMNS if column.metric in told], f"{record.suite}: how texts are drawn")
    entropy, length = record.data.get("entropy_nats"), record.data.get("length")
    notes = [("", NATS.format(entropy / length))] if entropy and length else []
    return replace(table, footnotes=(*table.footnotes, *notes))
