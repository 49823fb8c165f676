"""Methods as a plan needs them, built and described once for equal options: a plan of a thousand cells asks often.

They are for questions alone: whoever trains or draws builds a method of its own.
"""

import json
from functools import lru_cache
from typing import Any

from methods import METHODS, build, describe
from methods.method import Method

CACHE_SIZE = 10_000  # answers that are remembered


def method_instance(name: str, vocab_size: int, options: dict[Any, Any]) -> Method:
    """What methods.build returns, the same object for equal options. Raises OptionError."""
    return _built(name, METHODS.get(name), vocab_size, json.dumps(options, default=_odd))


def option_departures(name: str, options: dict[Any, Any]) -> dict[str, Any]:
    """What methods.describe returns, where each value of an option is checked once. Raises OptionError."""
    parts = [{option: value} for option, value in options.items()] or [{}]
    found = [_described(name, METHODS.get(name), json.dumps(part, default=_odd)) for part in parts]
    return {option: each[option] for each in sorted(found, key=list) for option in each}


@lru_cache(CACHE_SIZE)
def _built(name: str, factory: type[Method] | None, vocab_size: int, options: str) -> Method:
    return build(name, vocab_size, **json.loads(options))


@lru_cache(CACHE_SIZE)
def _described(name: str, factory: type[Method] | None, options: str) -> dict[str, Any]:
    return describe(name, json.loads(options))


def _odd(value: Any) -> Any:
    """What YAML knows and JSON does not, such as a date: a value that no option takes."""
    return [str(value)]
