"""One self-contained HTML page of a record: the answer, its tables and figures, and the evidence behind them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from bench.engine.records import DataFacts
from bench.results.statistics.pooled import PooledEstimate, can_be_best, find_best, is_tied
from bench.results.statistics.verdicts import TEST_TEXT_ONLY
from bench.results.suite_certificates import Certification
from bench.results.suite_record import SuiteRecord
from reports.figures.curves import tabulate_curves
from reports.figures.labels import FigureLabels, number_labels
from reports.figures.learned_parameters import explain
from reports.formats.html import format_html, format_label
from reports.page.trajectory_player import list_finals, list_players
from reports.tables.arms import distinguish, join_names, select_arms, split_arms
from reports.tables.quality_results import CONTROL
from reports.tables.report_tables import Tables
from reports.tables.table_model import Row, Table

OPENINGS = (
    "the best bound",
    "bounds lie",
    "exact likelihoods",
    "likelihoods",
    "no arm",
)  # of an answer that no label begins
SAMPLES_PER_ARM = 4  # samples of each arm on the page
NO_SAMPLES = "no samples; see the status in the results table"
FIGURES = {  # the title of each figure
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

CERTIFICATES = {  # the states of a certificate in words
    "certified": "certified; checks passed: {count}",
    "outdated": "passed with a different version of the code",
    "refused": "refused",
    "none": "no certificate",
}


def describe_best(table: Table, *, is_exact: bool) -> str:
    """The best likelihood, or the best bound, with its unit and the arms it ties with; "" if there is none.

    Of arms of one seed, none is called best: see `describe_range`.
    """
    estimates = {row: row.entries[0].estimate for row in table.rows}
    measured = {row: number for row, number in estimates.items() if number and number.is_likelihood == is_exact}
    rivals = {row: number for row, number in measured.items() if can_be_best(number)}
    lowest = find_best(list(measured.values()))
    if lowest is None:
        return describe_range(measured, table.columns[0].unit, is_exact=is_exact) if measured else ""
    best = next(row for row, number in rivals.items() if number is lowest)
    entry, number = best.entries[0], rivals[best]
    ties = [row.label for row, rival in rivals.items() if row is not best and is_tied(rival, number)]

    claim = f"{best.label} {claim_likelihood([number])}" if is_exact else f"the best bound is {best.label}'s,"
    error = f" ± {entry.error}" if entry.error else ""
    asides = [f"over {number.seeds} of {number.planned} seeds"] if number.planned > number.seeds else []
    if ties:
        asides.append(f"not told apart from {join_names(ties)}")
    if lone := [row.label for row in measured if row not in rivals]:
        asides.append(f"left out for having one seed: {join_names(lone)}")
    aside = f" ({'; '.join(asides)})" if asides else ""
    return f"{claim} {entry.value}{error} {table.columns[0].unit}{aside}"


def describe_range(scores: Mapping[Row, PooledEstimate], unit: str, *, is_exact: bool) -> str:
    """The scores of arms that cannot be compared, for having one seed: one with its error, of several the range."""
    ordered = sorted(scores, key=lambda row: scores[row].value)
    low, high = ordered[0], ordered[-1]
    if low is high:
        error = f" ± {low.entries[0].error} ({TEST_TEXT_ONLY})" if low.entries[0].error else ""
        claim = claim_likelihood(scores.values()) if is_exact else "has a bound at"
        return f"{low.label} {claim} {low.entries[0].value}{error} {unit}"
    claim = name_likelihoods(scores.values()) if is_exact else "bounds"
    return f"{claim} lie between {low.entries[0].value} and {high.entries[0].value} {unit}"


def claim_likelihood(numbers: Iterable[PooledEstimate]) -> str:
    """What may be said of a likelihood: it is exact only with a certificate."""
    is_certified = all(number.kind == "exact" for number in numbers)
    return "is exact at" if is_certified else "has a likelihood without a certificate at"


def name_likelihoods(numbers: Iterable[PooledEstimate]) -> str:
    """The name of several likelihoods."""
    is_certified = all(number.kind == "exact" for number in numbers)
    return "exact likelihoods" if is_certified else "likelihoods, not all with a certificate,"


def answer(table: Table) -> str:
    """The main table in one sentence, with uncertainties and the arms that have no score."""
    exact, bound = describe_best(table, is_exact=True), describe_best(table, is_exact=False)
    parts = [part for part in (exact, bound) if part] or ["no arm has a score yet"]
    scores = [row.entries[0].estimate for row in table.rows if row.entries[0].estimate]
    if scores and not any(map(can_be_best, scores)):
        parts.append("one seed, so no verdict")
    references = {row.reference: row.entries[0].value for row in table.references}
    if "entropy of the source" in references:
        parts.append(f"the entropy of the source is {references['entropy of the source']}")
    if missing := [f"{row.label} ({row.status})" for row in table.rows if not row.entries[0].estimate]:
        parts.append(f"there is no score from {join_names(missing)}")
    sentence = "; ".join(parts)
    begins_with_label = not sentence.startswith(OPENINGS)
    return (sentence if begins_with_label else sentence[0].upper() + sentence[1:]) + "."  # a label keeps its case


def describe_failures(certification: Certification) -> str:
    """The checks that failed with their figures: ": 2 of 31 checks failed: ends (+0.6 nats) and ..."."""
    failures = certification.failures
    if not failures:
        return ""
    names = join_names([f"{check['name']} ({check['figure']})" for check in failures])
    return f": {len(failures)} of {len(certification.checks)} checks failed: {names}"


def find_differences(environments: Sequence[dict[str, str]]) -> list[str]:
    """The settings that differ between the environments."""
    names = dict.fromkeys(name for environment in environments for name in environment)
    return [name for name in names if len({environment.get(name) for environment in environments}) > 1]


BY_CHANCE = re.compile(r"(sequences|passages)_in_.*|repeated_.*")  # facts that are chance if the distribution is known


def list_facts(data: DataFacts) -> list[tuple[str, str]]:
    """Name and value of each fact about the data."""
    nats = {"entropy_nats": "nats per sequence, exact", "unigram_nats": "nats per token"}
    facts = []
    for name, value in data.model_dump(exclude_defaults=True).items():
        title = name.removesuffix("_nats").replace("_", " ").capitalize()
        if isinstance(value, dict):
            chance = (
                " (by chance: sequences are independent)" if BY_CHANCE.fullmatch(name) and data.entropy_nats else ""
            )
            facts.append((title, ", ".join(f"{count:,} {split}" for split, count in value.items()) + chance))
        elif value is not None and name != "notes":
            facts.append((title, f"{value:.4f} {nats[name]}" if name in nats else str(value)))
    return facts


def list_protocols(record: SuiteRecord) -> list[tuple[str, str]]:
    """Each protocol with the arms measured under it."""
    measured = record.table[record.table["protocol"] != ""].drop_duplicates(["role", "arm", "protocol"])
    arms = set(measured.loc[measured["role"] == "arm", "arm"])
    kinds = {"control": CONTROL, "scorer": "scorer"}
    labels = [
        arm if role == "arm" else distinguish(arm, arms, kinds[role])
        for role, arm in zip(measured["role"], measured["arm"], strict=True)
    ]
    groups = measured.assign(label=labels).groupby("protocol", sort=False)
    return [(str(name), ", ".join(rows["label"])) for name, rows in groups]


def list_commands(record: SuiteRecord) -> list[str]:
    """The shell commands that reproduce the record and this page; with a commit only if all cells ran at the same."""
    commits = {environment.get("commit", "unknown") for environment in record.environment} - {"unknown"}
    checkout = []
    if len(commits) == 1:
        commit = commits.pop()
        comment = "  # plus uncommitted changes" if commit.endswith("+") else ""
        checkout.append(f"git checkout {commit.rstrip('+')}{comment}")
    suite = name_suite(record)
    verbs = ["tune", "run", "report"] if record.tuning else ["run", "report"]
    certify = []
    if any(record.options.values()):  # certificates of default options come with the repository
        certify.append(f".venv/bin/bench certify --suite {suite} --write")
    return [
        *checkout,
        "make setup",
        *certify,
        *(f".venv/bin/bench {verb} {suite}" for verb in verbs),
    ]


def name_suite(record: SuiteRecord) -> str:
    """The suite as it is named on the command line."""
    return record.asked or f"suites/{record.suite}.yaml"


def inline(svg: str, label: str) -> Markup:
    """The SVG as a part of the page, with a label for screen readers.

    Metadata, which links to other hosts, is removed, and so are group ids, which clash between figures.
    """
    drawing = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg ") :], count=1, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    return Markup('<svg role="img" aria-label="{}" ').format(label) + Markup(drawing.removeprefix("<svg "))


def list_samples(record: SuiteRecord) -> list[list[tuple[Markup, str]]]:
    """Lines of samples side by side: the first of every arm under its name and setting, then the second, and so on.

    Texts of controls come last. An arm whose samples are lost says so in its first place.
    """
    if not record.samples and not record.controls:
        return []
    methods = {label: str(rows["method"].iloc[0]) for label, rows in split_arms(record).items()}
    arms = select_arms(record)
    ways = arms[arms["stage"] == "samples"].groupby("arm", sort=False)["way"].first()
    texts = {arm: record.samples.get(arm) or [NO_SAMPLES] for arm in ways.index} | record.samples
    texts |= {distinguish(kind, texts, CONTROL): control for kind, control in record.controls.items()}

    names = []
    for arm in texts:
        way = Markup(' <span class="way">{}</span>').format(ways[arm]) if ways.get(arm) else ""
        names.append(format_label(arm, methods.get(arm, "")) + way)
    lines = zip_longest(*(samples[:SAMPLES_PER_ARM] for samples in texts.values()), fillvalue="")
    return [list(zip(names, line, strict=True)) for line in lines]


def describe_cost_panels(record: SuiteRecord) -> str:
    """What the lower panels of the learning curves show, and which ones are missing because nothing was recorded."""
    curves = tabulate_curves(record)
    names = {"flops": "FLOPs", "seconds": "seconds"}
    recorded = [name for column, name in names.items() if curves[column].notna().any()]
    missing = [name for name in names.values() if name not in recorded]
    sentences = []
    if recorded:
        sentences.append(f"Below, the same by the {' and the '.join(recorded)} of training.")
    if missing:
        sentences.append(f"There is no panel by {' or '.join(missing)}, which the record lacks.")
    return " ".join(sentences)


def count_validated(record: SuiteRecord) -> str:
    """The number of validation sequences, "32 ", if it was recorded and is the same for all arms."""
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
    """A template of a page, which escapes everything that is not marked as safe."""
    loader = PackageLoader("reports.page")
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return jinja.get_template(name)


def render(record: SuiteRecord, tables: Tables, figures: dict[str, str]) -> str:
    """The page as HTML that needs no other file; `figures` holds the SVG of each figure by name."""
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
        quality_in_full=Markup().join(map(format_html, tables.quality_in_full)),
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
        describe_failures=describe_failures,
        asked=name_suite(record),
    )
