"""The "did you mean" of every error message about an unknown name."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(name: str, candidates: Iterable[str]) -> str:
    """A question that offers the candidate most similar to `name`, or "" if none is close: did you mean "gidd"?"""
    matches = get_close_matches(name, list(candidates), n=1)
    return f'did you mean "{matches[0]}"?' if matches else ""
