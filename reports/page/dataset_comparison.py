"""The table across data sets: an arm a row, a data set a column, and the mean of the places that an arm takes.

Numbers of different data say nothing of each other; what can be compared across them is the order of the arms.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.results.dataset_records import Records
from bench.results.statistics.pooled import PooledEstimate, is_tied
from bench.results.suite_record import Record
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.formats.text import tabulate
from reports.page.page import find_template
from reports.tables.arms import choose_score, split_arms, warn_incomplete
from reports.tables.main import find_references, make_reference
from reports.tables.numbers import format_sample_size, format_with_error
from reports.tables.table import SIGN_NOTES, Column, Entry, Footnotes, Row, Table, format_column, make_row, pool_arm

Places = dict[str, tuple[float, float]]  # of arms, the best and the worst that is possible; 1 is the lowest score

RANKS = "Mean rank"
RANKED = (
    "Mean rank: an arm's place among the {arms} arms that have a score on each of the {data} data sets that have any, 1"
    " being the lowest, averaged over these; arms that are not told apart (as for ~) share the mean of their places. In"
    " brackets: the best and the worst that this leaves open."
)
OTHER_ARMS = "its record has no such arm; run the suite again"
OTHER_SUITES = "The suite was changed between the runs of its data sets, so that the columns are of different settings;"
OTHER_SUITES += " run it again."


def build_part(label: str, record: Record, footnotes: Footnotes) -> Table:
    """The column of one data set: the score of every arm, and of what needs no network."""
    arms, (metric, unit) = split_arms(record), choose_score(record)
    column = Column("bound", metric, f"{label} ↓", unit, format_with_error, is_score=True)
    numbers = [pool_arm(rows, column) for rows in arms.values()]
    cells = format_column(column, numbers, footnotes)
    counts = Counter(format_sample_size(number)[0] for number in numbers if number)
    if counts:
        (common, _), *_ = counts.most_common(1)
        cells = [mark_sample_size(cell, common, footnotes) for cell in cells]
        column = replace(column, unit=f"{unit}, n = {common}")
    rows = [make_row(arm, rows, (cell,)) for (arm, rows), cell in zip(arms.items(), cells, strict=True)]
    references = [make_reference(*item, [column]) for item in find_references(record).items()]
    return Table(
        label, warn_incomplete(record), (column,), tuple(rows), tuple(references), tuple(explain(label, unit, rows))
    )


def mark_sample_size(cell: Entry, common: str, footnotes: Footnotes) -> Entry:
    """The cell, with a letter where its sequences and seeds are not those of most arms, which the header gives."""
    own = format_sample_size(cell.estimate)[0] if cell.estimate else common
    return cell if own == common else replace(cell, marks=cell.marks + footnotes.mark(f"n = {own}"))


def explain(label: str, unit: str, rows: list[Row]) -> list[tuple[str, str]]:
    """What holds for one column: its protocol, where it has one, and the noise of its estimates."""
    numbers = {row.label: row.entries[0].estimate for row in rows if row.entries[0].estimate}
    protocols = {number.protocol for number in numbers.values()} - {""}
    noise = ", ".join(f"{name} {n.monte_carlo_error:.2g}" for name, n in numbers.items() if n.monte_carlo_error > 0)
    said = [f"protocol: {protocol}" for protocol in protocols if len(protocols) == 1]
    said += [f"Monte Carlo error of the estimates, in {unit}: {noise}"] * bool(noise)
    return [("", f"{label}: {'; '.join(said)}.")] * bool(said)


def find_places(numbers: Mapping[str, PooledEstimate]) -> Places:
    """Of each arm the best and the worst place that it may have on one data set; arms that are not told apart tie."""
    places = {}
    for arm, own in numbers.items():
        apart = [other.value - own.value for other in numbers.values() if not is_tied(own, other)]
        lower = sum(distance < 0 for distance in apart)
        places[arm] = (1.0 + lower, float(len(numbers) - (len(apart) - lower)))
    return places


def rank(parts: Mapping[str, Table]) -> tuple[Places, int]:
    """The mean places of the arms that have a score wherever there is any, and the number of these data sets."""
    scores = [
        {row.label: row.entries[0].estimate for row in part.rows if row.entries[0].estimate} for part in parts.values()
    ]
    scores = [each for each in scores if each]
    everywhere = [arm for arm in (scores[0] if scores else ()) if all(arm in each for each in scores)]
    places = [find_places({arm: each[arm] for arm in everywhere}) for each in scores]
    ends = {arm: zip(*(each[arm] for each in places), strict=True) for arm in everywhere}
    return {arm: (sum(best) / len(places), sum(worst) / len(places)) for arm, (best, worst) in ends.items()}, len(
        places
    )


def rank_entries(places: Places, arms: list[str]) -> list[Entry]:
    """The last column: the middle of the mean places, and their range where arms tie; the lowest in bold."""
    means = {arm: (best + worst) / 2 for arm, (best, worst) in places.items()}
    cells = []
    for arm in arms:
        if arm not in means:
            cells.append(Entry("not ranked"))
            continue
        best, worst = places[arm]
        span = f" [{best:.3g}, {worst:.3g}]" if best < worst else ""
        number = PooledEstimate(means[arm])
        cells.append(Entry(f"{means[arm]:.2f}{span}", best=means[arm] == min(means.values()), estimate=number))
    return cells


def join_row(arm: str, parts: Mapping[str, Table], records: Records, ranked: Entry) -> Row:
    """An arm on all data sets; where it has no number the cell says so, and the row why."""
    found = {label: next((row for row in part.rows if row.label == arm), None) for label, part in parts.items()}
    there = [row for row in found.values() if row]
    cells, reasons = [], []
    for label, record in records.items():
        row = found.get(label)
        cells.append(row.entries[0] if row else Entry("no record" if isinstance(record, str) else "no such arm"))
        reason = row.reason if row else "" if isinstance(record, str) else OTHER_ARMS
        reasons += [f"{label}: {reason}"] * bool(reason)
    status = next((row.status for row in there if row.status != "done"), "done")
    return Row(arm, there[0].method, (*cells, ranked), status, "; ".join(reasons))


def join_references(parts: Mapping[str, Table], records: Records) -> list[Row]:
    """What needs no network, on all data sets where it is known."""
    own = {label: {row.label: row.entries[0] for row in part.references} for label, part in parts.items()}
    names = dict.fromkeys(name for each in own.values() for name in each)
    return [Row(name, "", (*(own.get(label, {}).get(name, Entry()) for label in records), Entry())) for name in names]


def build_parts(records: Records) -> tuple[dict[str, Table], Footnotes]:
    """The column of each data set that has a record, and the letters of the footnotes that they share."""
    footnotes = Footnotes()
    found = {label: record for label, record in records.items() if not isinstance(record, str)}
    return {label: build_part(label, record, footnotes) for label, record in found.items()}, footnotes


def build_across(suite: str, records: Records) -> Table:
    """The table across the data sets of a suite."""
    parts, footnotes = build_parts(records)
    known = [record for record in records.values() if not isinstance(record, str)]
    arms = list(dict.fromkeys(row.label for part in parts.values() for row in part.rows))
    places, data = rank(parts)
    ranks = rank_entries(places, arms)
    rows = [join_row(arm, parts, records, cell) for arm, cell in zip(arms, ranks, strict=True)]
    empty = Column("bound", "", "", "no record", format_with_error)
    columns = [parts[label].columns[0] if label in parts else replace(empty, title=label) for label in records]
    warnings = [f"{label}: {part.warning}" for label, part in parts.items() if part.warning]
    warnings += [f"{label}: {record}." for label, record in records.items() if isinstance(record, str)]
    warnings += [OTHER_SUITES] * (len({record.source for record in known}) > 1)
    used = {cell.sign for row in rows for cell in row.entries} | {"±", "~"}
    notes = [(sign, meaning) for sign, meaning in SIGN_NOTES.items() if sign in used]
    notes += [note for part in parts.values() for note in part.footnotes]
    notes += footnotes.list_notes()
    notes.append(("", "n: scored sequences × seeds."))
    notes.append(("", RANKED.format(arms=len(places), data=data)))
    return Table(
        f"{suite}: {known[0].question}",
        " ".join(warnings),
        (*columns, Column("", "mean_rank", RANKS, f"{data} data sets", format_with_error)),
        tuple(rows),
        tuple(join_references(parts, records)),
        tuple(notes),
    )


def list_across(records: Records) -> pd.DataFrame:
    """Every number at full precision, a row for each data set and arm; then the mean ranks with the ends of their
    ranges, of all data sets together."""
    parts, _ = build_parts(records)
    numbers = [tabulate(part).assign(data=label) for label, part in parts.items()]
    places, _ = rank(parts)
    ranks = [
        {"arm": arm, "metric": metric, "value": value, "status": "done", "data": "all"}
        for arm, (best, worst) in places.items()
        for metric, value in (("mean_rank", (best + worst) / 2), ("mean_rank_best", best), ("mean_rank_worst", worst))
    ]
    table = pd.concat([*numbers, pd.DataFrame(ranks)], ignore_index=True)
    table = table.astype(dict.fromkeys(("n", "seeds", "planned"), "Int64"))  # whole, or nothing
    return table[["data", *(name for name in table.columns if name != "data")]]


def describe_data(record: Record | str) -> str:
    """What a data set is, in words, or why nothing is known of it."""
    if isinstance(record, str):
        return record
    data = record.data
    sizes = ", ".join(f"{number:,} {split}" for split, number in data.get("sequences", {}).items())
    return f"{data.get('source')}: {data.get('vocab_size')} tokens, sequences of {data.get('length')}: {sizes}"


def write_across(records: Records, folder: Path) -> list[Path]:
    """The paths of the table across data sets in every format, in a folder beside those of the data sets' own pages;
    index.html, which leads to these, is last."""
    folder.mkdir(parents=True, exist_ok=True)
    table = build_across(folder.name, records)
    pages = [(name, isinstance(record, Record), describe_data(record)) for name, record in records.items()]
    known = next(record for record in records.values() if isinstance(record, Record))
    whole = {"record": replace(known, suite=folder.name), "warning": table.warning, "pages": pages}
    main = format_html(replace(table, caption="Every arm on every data set; lower is better"))
    texts = {
        "across.md": format_markdown(table),
        "across.tex": format_latex(table),
        "across.csv": list_across(records).to_csv(index=False, lineterminator="\n"),
        "index.html": find_template("across.html.j2").render(**whole, main=main, players=[]),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in texts]
