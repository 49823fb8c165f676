"""The harness itself: no plug-in may change what judges it, nor what the numbers of other methods are made of."""

from collections.abc import Iterator

from bench.certify.check import Case, Check
from methods import PLUGINS
from methods.plugins import list_harness_changes

MEANING = "plug-ins leave the harness as it is, at their import and in all checks before this one"


def check_harness(case: Case) -> Iterator[Check]:
    """A failed check for each attribute that a plug-in has changed; nothing if no plug-in is loaded."""
    changes = list_harness_changes()
    yield from (Check("the harness", change, False, MEANING) for change in changes)
    if PLUGINS and not changes:
        yield Check("the harness", "unchanged", True, MEANING)
