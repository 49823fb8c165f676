"""The table across data sets: an arm a row, a data set a column, and the mean rank of each arm.

Scores on different data are not comparable; the order of the arms is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.results.dataset_records import Records
from bench.results.statistics.pooled import PooledEstimate, can_be_best, is_tied
from bench.results.suite_record import SuiteRecord
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.formats.text import tabulate
from reports.page.html_page import find_template
from reports.report_files import replacing_files
from reports.tables.arms import choose_score, describe_tracking, distinguish, split_arms, warn_incomplete
from reports.tables.format_numbers import format_sample_size, format_with_error
from reports.tables.main_table import describe_noise, list_estimates, make_references
from reports.tables.table_model import (
    ONE_SEED,
    Column,
    Entry,
    Footnotes,
    Note,
    Row,
    Table,
    explain_signs,
    format_column,
    make_row,
    mark_mixed,
    metric_column,
    pool_arm,
)

Ranks = dict[str, tuple[float, float]]  # the best and the worst possible rank of each arm; 1 is the lowest score

RANK_TITLE = "Mean rank"
RANK_NOTE = (
    "Mean rank: the rank of an arm among the {arms} arms that have a score of several seeds on every one of the {data}"
    " data sets with scores; 1 is the lowest score. Tied arms (~) share the mean of their ranks; brackets give the"
    " range that ties leave open."
)
OTHER_ARMS = "its record has no such arm; run the suite again"
OTHER_SUITES = (
    "The suite changed between the runs of its data sets, so columns have different settings; run the suite again."
)


def build_part(label: str, record: SuiteRecord, footnotes: Footnotes) -> Table:
    """The column of one data set: the score of every arm and of the references."""
    arms, (metric, unit) = split_arms(record), choose_score(record)
    column = metric_column("bound", metric, label, is_score=True)
    estimates = [pool_arm(rows, column) for rows in arms.values()]
    entries = format_column(column, estimates, footnotes)

    sizes = Counter(format_sample_size(estimate)[0] for estimate in estimates if estimate)
    if sizes:
        (usual, _), *_ = sizes.most_common(1)
        entries = [mark_sample_size(entry, usual, footnotes) for entry in entries]
        column = replace(column, unit=f"{unit}, n = {usual}")

    rows = [make_row(arm, rows, (entry,)) for (arm, rows), entry in zip(arms.items(), entries, strict=True)]
    part = Table(label, warn_incomplete(record), (column,), tuple(rows), make_references(record, [column]), ())
    return replace(part, footnotes=tuple(explain_part(part, unit)))


def mark_sample_size(entry: Entry, usual: str, footnotes: Footnotes) -> Entry:
    """The entry, with a letter if its sample size is not the usual one, which stands in the header."""
    size = format_sample_size(entry.estimate)[0] if entry.estimate else usual
    return entry if size == usual else replace(entry, marks=entry.marks + footnotes.mark(f"n = {size}"))


def explain_part(part: Table, unit: str) -> list[Note]:
    """A footnote with the protocol of one data set, if it has one, and the Monte Carlo error of its estimates."""
    estimates = list_estimates(part)
    protocols = {estimate.protocol for estimate in estimates.values()} - {""}
    facts = [f"protocol: {protocol}" for protocol in protocols if len(protocols) == 1]
    if noise := describe_noise(estimates):
        facts.append(f"Monte Carlo error of the estimates, in {unit}: {noise}")
    return [("", f"{part.caption}: {'; '.join(facts)}.")] if facts else []


def rank_scores(scores: Mapping[str, PooledEstimate]) -> Ranks:
    """The best and the worst rank of each arm on one data set; arms that are not told apart tie."""
    ranks = {}
    for arm, score in scores.items():
        differences = [rival.value - score.value for rival in scores.values() if not is_tied(score, rival)]
        lower = sum(difference < 0 for difference in differences)
        higher = len(differences) - lower
        ranks[arm] = (1.0 + lower, float(len(scores) - higher))
    return ranks


def mean_ranks(parts: Mapping[str, Table]) -> tuple[Ranks, int]:
    """The mean ranks of the arms that have a score on every data set with scores, and the number of these data sets.

    An arm of one seed has no rank, nor has an arm that has no other to be ranked among.
    """
    scores = [estimates for estimates in map(list_estimates, parts.values()) if estimates]
    if not scores:
        return {}, 0
    complete = [arm for arm in scores[0] if all(arm in by_arm for by_arm in scores)]
    arms = [arm for arm in complete if all(can_be_best(by_arm[arm]) for by_arm in scores)]
    if len(arms) < 2:
        return {}, len(scores)
    ranks = [rank_scores({arm: by_arm[arm] for arm in arms}) for by_arm in scores]

    means = {}
    for arm in arms:
        best, worst = zip(*(by_arm[arm] for by_arm in ranks), strict=True)
        means[arm] = (sum(best) / len(scores), sum(worst) / len(scores))
    return means, len(scores)


def rank_entries(ranks: Ranks, arms: Sequence[str]) -> list[Entry]:
    """The last column: the middle of each mean rank, with its range if arms tie; the lowest is bold."""
    means = {arm: (best + worst) / 2 for arm, (best, worst) in ranks.items()}
    entries = []
    for arm in arms:
        if arm not in means:
            entries.append(Entry("not ranked"))
            continue
        best, worst = ranks[arm]
        spread = f" [{best:.3g}, {worst:.3g}]" if best < worst else ""
        is_best = means[arm] == min(means.values())
        entries.append(Entry(f"{means[arm]:.2f}{spread}", best=is_best, estimate=PooledEstimate(means[arm])))
    return entries


def join_row(arm: str, parts: Mapping[str, Table], records: Records, rank: Entry) -> Row:
    """An arm on all data sets; an entry without a number says why, and so does the status."""
    rows = {label: row for label, part in parts.items() for row in part.rows if row.label == arm}
    entries, reasons = [], []
    for label, record in records.items():
        if label in rows:
            entries.append(rows[label].entries[0])
            reason = rows[label].reason
        elif isinstance(record, str):
            entries.append(Entry("no record"))
            reason = ""
        else:
            entries.append(Entry("no such arm"))
            reason = OTHER_ARMS
        if reason:
            reasons.append(f"{label}: {reason}")
    status = next((row.status for row in rows.values() if row.status != "done"), "done")
    method = next(iter(rows.values())).method
    return Row(arm, method, (*entries, rank), status, "; ".join(reasons))


def join_references(parts: Mapping[str, Table], records: Records) -> list[Row]:
    """The references on all data sets, blank where they are unknown."""
    entries = {(row.reference, label): row.entries[0] for label, part in parts.items() for row in part.references}
    names = dict.fromkeys(row.reference for part in parts.values() for row in part.references)
    arms = {row.label for part in parts.values() for row in part.rows}
    return [
        Row(
            distinguish(name, arms, "reference"),
            "",
            (*(entries.get((name, label), Entry()) for label in records), Entry()),
            role="reference",
            reference=name,
        )
        for name in names
    ]


def build_parts(records: Records) -> tuple[dict[str, Table], Footnotes]:
    """The column of each data set that has a record, and the lettered footnotes that they share."""
    footnotes = Footnotes()
    parts = {
        label: build_part(label, record, footnotes) for label, record in records.items() if not isinstance(record, str)
    }
    return parts, footnotes


def list_warnings(parts: Mapping[str, Table], records: Records) -> list[str]:
    """Incomplete and missing records, and records of different versions of the suite."""
    warnings = [f"{label}: {part.warning}" for label, part in parts.items() if part.warning]
    warnings += [f"{label}: {record}." for label, record in records.items() if isinstance(record, str)]
    if len({record.source for record in records.values() if not isinstance(record, str)}) > 1:
        warnings.append(OTHER_SUITES)
    return warnings


def build_across(suite: str, records: Records) -> Table:
    """The table across the data sets of a suite."""
    parts, footnotes = build_parts(records)
    question = next(record.question for record in records.values() if not isinstance(record, str))
    arms = list(dict.fromkeys(row.label for part in parts.values() for row in part.rows))
    ranks, data = mean_ranks(parts)
    entries = rank_entries(ranks, arms)
    rows = [join_row(arm, parts, records, entry) for arm, entry in zip(arms, entries, strict=True)]
    references = join_references(parts, records)

    columns = [
        parts[label].columns[0] if label in parts else Column("bound", "", label, "no record", format_with_error)
        for label in records
    ]
    scores = [entry.estimate for row in rows for entry in row.entries[:-1]]
    if ranks:
        columns.append(Column("", "mean_rank", RANK_TITLE, f"{data} data sets", format_with_error))
    else:
        rows = [replace(row, entries=row.entries[:-1]) for row in rows]
        references = [replace(row, entries=row.entries[:-1]) for row in references]
    rows = list(mark_mixed(rows, columns, footnotes))

    signs = {entry.sign for row in rows for entry in row.entries} | ({"~"} if ranks else set())
    notes = explain_signs(signs, scores)
    if not any(map(can_be_best, scores)):
        notes.append(("", ONE_SEED))
    notes += [note for part in parts.values() for note in part.footnotes]
    notes += footnotes.list_notes()
    notes.append(("", "n: scored sequences × seeds."))
    notes += [
        ("", f"{label}: {note}")
        for label, record in records.items()
        if not isinstance(record, str)
        for note in describe_tracking(record)
    ]
    if ranks:
        notes.append(("", RANK_NOTE.format(arms=len(ranks), data=data)))
    return Table(
        caption=f"{suite}: {question}",
        warning=" ".join(list_warnings(parts, records)),
        columns=tuple(columns),
        rows=tuple(rows),
        references=tuple(references),
        footnotes=tuple(notes),
    )


def list_across(records: Records) -> pd.DataFrame:
    """Every number at full precision, a row for each data set and arm; then the mean ranks and their ranges."""
    parts, _ = build_parts(records)
    numbers = [tabulate(part).assign(data=label) for label, part in parts.items()]
    ranks, _ = mean_ranks(parts)
    rows = []
    for arm, (best, worst) in ranks.items():
        values = {"mean_rank": (best + worst) / 2, "mean_rank_best": best, "mean_rank_worst": worst}
        common = {"arm": arm, "status": "done", "data": "all", "role": "arm"}
        rows += [{**common, "metric": metric, "value": value} for metric, value in values.items()]
    table = pd.concat([*numbers, pd.DataFrame(rows)], ignore_index=True)
    table = table.astype(dict.fromkeys(("n", "seeds", "planned"), "Int64"))  # whole, or nothing
    return table[["data", *(name for name in table.columns if name != "data")]]


def describe_data(record: SuiteRecord | str) -> str:
    """A data set in words, or why there is no record of it."""
    if isinstance(record, str):
        return record
    data = record.data
    sizes = ", ".join(f"{number:,} {split}" for split, number in data.sequences.items())
    return f"{data.source}: {data.vocab_size} tokens, sequences of {data.length}: {sizes}"


def write_across(records: Records, folder: Path) -> list[Path]:
    """Write the table across data sets in every format, beside the folders of the data sets' own pages.

    Returns the paths; index.html, which links to these pages, is last.
    """
    table = build_across(folder.name, records)
    pages = [
        (name, record.suite if isinstance(record, SuiteRecord) else "", describe_data(record))
        for name, record in records.items()
    ]
    first = next(record for record in records.values() if isinstance(record, SuiteRecord))
    main = format_html(replace(table, caption="Every arm on every data set; lower is better"))
    page = find_template("across.html.j2").render(
        record=replace(first, suite=folder.name), warning=table.warning, pages=pages, main=main, players=[]
    )
    texts = {
        "across.md": format_markdown(table),
        "across.tex": format_latex(table),
        "across.csv": list_across(records).to_csv(index=False, lineterminator="\n"),
        "index.html": page,
    }
    with replacing_files(folder) as new:
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in texts]
