"""One self-contained HTML page of a record: the answer, its table and curves, and all that is needed to doubt it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from bench.results.statistics.pooled import is_tied
from bench.results.suite_record import Record
from reports.figures.curves import tabulate_curves
from reports.figures.labels import FigureLabels, number_labels
from reports.figures.learned_parameters import explain
from reports.formats.html import format_html, format_label
from reports.page.player import list_finals, list_players
from reports.tables.arms import join_names, split_arms
from reports.tables.report_tables import Tables
from reports.tables.table import Table

SAMPLES_PER_ARM = 4  # samples of each arm on the page
NO_SAMPLES = "no texts: see the status in the table of results"
FIGURES = {  # what each figure shows
    "curves": "Learning curves",
    "forest": "Differences from the base",
    "schedules": "Schedules of noise",
    "learned": "What was learned for each token",
    "frontier_calls": "Quality and entropy against network calls",
    "frontier_seconds": "Quality and entropy against seconds",
    "frontier_temperature": "Quality against entropy over temperatures",
    "unmasked": "Tokens changed in each network call",
    "tuning": "Expected best of k trials",
    "spent": "Where the bound spends its nats",
    "cost": "Speed and memory",
}

CERTIFICATES = {  # their states in words
    "certified": "certified; checks that passed: {count}",
    "outdated": "passed, but the code that is here is not the code that was asked",
    "refused": "refused",
    "none": "there is no certificate",
}


def describe_best(table: Table, is_exact: bool) -> str:
    """The best of the exact values, or of the others, with its unit and what it is not told apart from; "" for none."""
    numbers = {row: row.entries[0].estimate for row in table.rows}
    there = {row: number for row, number in numbers.items() if number and (number.kind == "exact") == is_exact}
    if not there:
        return ""
    best = min(there, key=lambda row: there[row].value)
    cell, number = best.entries[0], there[best]
    claim = f"{best.label} is exact at" if is_exact else f"the best bound is {best.label}'s,"
    ties = [row.label for row in there if row is not best and is_tied(there[row], number)]
    notes = [f"over {number.seeds} of {number.planned} seeds"] * (number.planned > number.seeds)
    notes += [f"not told apart from {join_names(ties)}"] * bool(ties)
    error = f" ± {cell.error}" if cell.error else ""
    aside = f" ({'; '.join(notes)})" if notes else ""
    return f"{claim} {cell.value}{error} {table.columns[0].unit}{aside}"


def answer(table: Table) -> str:
    """What the main table says, in one sentence with its uncertainty, arms without a score named."""
    exact, bound = describe_best(table, is_exact=True), describe_best(table, is_exact=False)
    parts = [part for part in (exact, bound) if part] or ["no arm has a score yet"]
    known = {row.label: row.entries[0].value for row in table.references}
    if "entropy of the source" in known:
        parts.append(f"the entropy of the source is {known['entropy of the source']}")
    if lost := [f"{row.label} ({row.status})" for row in table.rows if not row.entries[0].estimate]:
        parts.append(f"there is no score from {join_names(lost)}")
    sentence = "; ".join(parts)
    return (sentence if exact else sentence[0].upper() + sentence[1:]) + "."  # a label keeps its letters


def find_differences(environments: Sequence[dict[str, str]]) -> list[str]:
    """The names of what differs between the environments."""
    names = dict.fromkeys(name for environment in environments for name in environment)
    return [name for name in names if len({environment.get(name) for environment in environments}) > 1]


def list_facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of what is known of the data, in words."""
    nats = {"entropy_nats": "nats per sequence, exact", "unigram_nats": "nats per token"}
    facts = []
    for name, value in data.items():
        title = name.removesuffix("_nats").replace("_", " ").capitalize()
        if isinstance(value, dict):
            facts.append((title, ", ".join(f"{count:,} {split}" for split, count in value.items())))
        elif value is not None and name != "notes":
            facts.append((title, f"{value:.4f} {nats[name]}" if name in nats else str(value)))
    return facts


def list_protocols(record: Record) -> list[tuple[str, str]]:
    """Each protocol with the arms that were measured under it."""
    measured = record.table[record.table["protocol"] != ""].drop_duplicates(["arm", "protocol"])
    return [(str(name), ", ".join(rows["arm"])) for name, rows in measured.groupby("protocol", sort=False)]


def list_commands(record: Record) -> list[str]:
    """The shell lines that make the record and this page again; the commit only where all cells ran at one."""
    commits = {environment.get("commit", "unknown") for environment in record.environment} - {"unknown"}
    changed = "  # plus changes that were not committed"
    checkout = [f"git checkout {commit.rstrip('+')}{changed * commit.endswith('+')}" for commit in commits]
    suite = name_suite(record)
    verbs = ["tune"] * bool(record.tuning) + ["run", "report"]
    certify = f".venv/bin/bench certify --suite {suite} --write"  # the certificates of the defaults are there
    return [
        *checkout * (len(commits) == 1),
        "make setup",
        *[certify] * any(record.options.values()),
        *(f".venv/bin/bench {verb} {suite}" for verb in verbs),
    ]


def name_suite(record: Record) -> str:
    """The words that name the suite on the command line."""
    return record.asked or f"suites/{record.suite}.yaml"


def inline(svg: str, label: str) -> Markup:
    """The SVG as a part of the page, with a name for those who do not see it.

    It has no links to other hosts, and no ids of groups, which every figure numbers alike.
    """
    drawing = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg ") :], count=1, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    return Markup('<svg role="img" aria-label="{}" ').format(label) + Markup(drawing.removeprefix("<svg "))


def list_samples(record: Record) -> list[list[tuple[Markup, str]]]:
    """The first text of every arm that was to be sampled beside its name and way, then the second of each, and so on;
    texts of controls come last. An arm whose texts are lost says so in the place of the first."""
    methods = {label: str(rows["method"].iloc[0]) for label, rows in split_arms(record).items()}
    ways = record.table[record.table["stage"] == "samples"].groupby("arm", sort=False)["way"].first()
    way = Markup(' <span class="way">{}</span>')
    texts = {arm: record.samples.get(arm) or [NO_SAMPLES] for arm in ways.index if arm in methods} | record.samples
    names = {
        arm: format_label(arm, methods.get(arm, "")) + (way.format(ways[arm]) if ways.get(arm) else "") for arm in texts
    }
    turns = zip_longest(*(own[:SAMPLES_PER_ARM] for own in texts.values()), fillvalue="")
    return [list(zip(names.values(), row, strict=True)) for row in turns] if record.samples else []


def describe_cost_panels(record: Record) -> str:
    """What the lower panels of the learning curves show, and what they cannot because it was not recorded."""
    curves = tabulate_curves(record)
    names = {"flops": "FLOPs", "seconds": "seconds"}
    there = [name for column, name in names.items() if curves[column].notna().any()]
    lost = [name for column, name in names.items() if name not in there]
    below = [f"Below, the same by the {' and the '.join(there)} of training."] * bool(there)
    return " ".join(below + [f"There is no panel by {' or '.join(lost)}, which the record lacks."] * bool(lost))


def count_validated(record: Record) -> str:
    """How many sequences validation was measured on, where that is recorded and one number for all arms: "32 "."""
    rows = record.table[(record.table["stage"] == "train") & (record.table["split"] == "valid")]
    counts = set(rows["n"]) - {0}
    return f"{counts.pop():,} " if len(counts) == 1 else ""


def show_figures(figures: dict[str, str], arms: str, labels: FigureLabels) -> dict[str, Markup]:
    """The SVG of each figure with a name for screen readers, and the key to its numbered labels; "" if not drawn."""
    shown = dict.fromkeys(FIGURES, Markup(""))
    key = Markup('<p class="lead">{}</p>').format(labels.describe())
    for name, svg in figures.items():
        shown[name] = inline(svg, f"{FIGURES[name]} of {arms or 'no arm'}")
        if any(number in svg for number in labels.numbers.values()):
            shown[name] += key
    return shown


def find_template(name: str) -> Template:
    """A template of a page, in which everything is escaped that is not marked as safe."""
    loader = PackageLoader("reports.page")
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return jinja.get_template(name)


def render(record: Record, tables: Tables, figures: dict[str, str]) -> str:
    """The page as HTML that needs no other file, with its tables and the SVG of each figure by its name."""
    main = tables.main
    return find_template("page.html.j2").render(
        record=record,
        warning=main.warning,
        answer=answer(main),
        main=format_html(replace(main, caption="Every arm of the suite; lower is better where an arrow points down")),
        **{name: format_html(table) if table else "" for name, table in tables.optional.items()},
        figures=show_figures(figures, join_names(list(split_arms(record)), most=12), number_labels(record)),
        meaning=explain(record),
        costs=describe_cost_panels(record),
        validated=count_validated(record),
        samples=list_samples(record),
        quality=Markup().join(map(format_html, tables.quality)),
        qualities=Markup().join(map(format_html, tables.qualities)),
        frontiers=[(name, title) for name, title in FIGURES.items() if name.startswith("frontier")],
        players=list_players(record),
        finals=list_finals(record),
        fairness=format_html(tables.fairness),
        breakdown=format_html(tables.breakdown),
        facts=list_facts(record.data),
        names=list(dict.fromkeys(name for environment in record.environment for name in environment)),
        differing=find_differences(record.environment),
        protocols=list_protocols(record),
        commands=list_commands(record),
        states=CERTIFICATES,
        asked=name_suite(record),
    )
