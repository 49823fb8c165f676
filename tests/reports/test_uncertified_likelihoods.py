"""A likelihood without a certificate is marked by a dagger wherever it stands, and is no bound."""

import re

import pytest

from bench.results.statistics.pooled import SIGNS, PooledEstimate, pool
from reports.figures.curves import find_ends, label_axis, tabulate_curves
from reports.page.html_page import answer
from reports.tables.estimators import list_estimates
from reports.tables.main_table import build_main
from tests.reports.test_ranks import make_arm as make_precise_arm
from tests.reports.test_ranks import ranks_of
from tests.reports.test_reports import FORMATS, print_table
from tests.support.report_records import make_arm, make_record, spread_seeds

CLAIMED, BOUND = make_arm("AR", 1.5, "likelihood"), make_arm("MDLM", 2.0, "certified")


@pytest.mark.parametrize("form", FORMATS)
def test_it_prints_a_dagger_and_never_an_equals_sign(form):
    text = print_table(make_record(CLAIMED, BOUND), form)
    assert re.search(r"(†|\\dagger)[ $~]*1\.50", text)
    assert not re.search(r"=[ $~]*1\.50", text)
    assert "likelihood that is not certified; " in text


def test_the_note_of_the_dagger_names_what_it_marks():
    def notes(*kinds: str) -> str:
        arms = [make_arm(f"arm {kind}", 2.0, kind) for kind in kinds]
        return dict(build_main(make_record(*arms)).footnotes).get("†", "")

    assert notes("exact", "certified") == ""
    assert notes("exact", "bound") == "bound that is not certified; <= is kept for certified ones"
    assert notes("likelihood", "certified").startswith("likelihood that is not certified; = is kept")
    assert notes("likelihood", "bound").startswith("likelihood or bound that is not certified; <= is kept")


def test_seeds_with_and_without_a_certificate_are_not_certified():
    table = make_record(make_arm("A", 2.0, "exact", seed=0), make_arm("A", 2.0, "likelihood", seed=1)).table
    estimate = pool(table[table["metric"] == "bits_per_char"])
    assert estimate is not None
    assert (estimate.kind, SIGNS[estimate.kind]) == ("likelihood", "†")


def test_it_is_ranked_among_likelihoods_and_not_among_bounds():
    likelihoods = [
        make_precise_arm(label, bits, kind) for label, bits, kind in (("A", 2.0, "exact"), ("B", 3.0, "exact"))
    ]
    claimed = make_precise_arm("C", 4.0, "likelihood")
    bounds = [make_precise_arm(label, bits) for label, bits in (("D", 2.0), ("E", 3.0), ("F", 4.0))]
    ranks = ranks_of(build_main(make_record(*likelihoods, claimed, *bounds)))
    assert ranks == {"A": "1", "B": "2", "C": "3", "D": "1", "E": "2", "F": "3"}


def test_the_answer_of_the_page_does_not_call_it_exact():
    def say(*arms):
        return answer(build_main(make_record(*arms)))

    assert say(CLAIMED, BOUND).startswith("AR has a likelihood without a certificate at 1.500")
    assert say(make_arm("AR", 1.5, "exact"), BOUND).startswith("AR is exact at 1.500")
    seeds = spread_seeds("AR", 1.5, "likelihood"), spread_seeds("MDLM", 2.0)
    assert say(*seeds).startswith("AR has a likelihood without a certificate at 1.500")
    several = CLAIMED, make_arm("other", 1.6, "exact"), BOUND
    assert say(*several).startswith("Likelihoods, not all with a certificate, lie between 1.500 and 1.600")


def test_curves_do_not_call_it_exact():
    record = make_record(CLAIMED, BOUND)
    curves = tabulate_curves(record)
    assert label_axis(record, curves).endswith("(AR likelihood without a certificate, others bounds)")
    assert [end.name for end in find_ends(curves)] == ["AR (likelihood)", "MDLM (bound)"]


def test_it_is_no_estimate_of_a_bound():
    rows = list_estimates(make_record(CLAIMED, BOUND))
    assert list(rows["arm"].unique()) == ["MDLM"]


@pytest.mark.parametrize(
    ("kind", "expected"), [("exact", True), ("likelihood", True), ("certified", False), ("bound", False)]
)
def test_kinds_say_whether_they_are_likelihoods(kind, expected):
    assert PooledEstimate(1.0, kind=kind).is_likelihood is expected
