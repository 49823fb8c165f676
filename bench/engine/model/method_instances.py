"""Methods and their options as a plan needs them, cached: a plan of a thousand cells asks for the same ones often.

The instances are read-only. Training and sampling must build their own.
"""

import json
from functools import lru_cache
from typing import Any

from methods import METHODS, build, describe
from methods.method import Method

CACHE_SIZE = 10_000  # entries


def method_instance(name: str, vocab_size: int, options: dict[Any, Any]) -> Method:
    """Return `methods.build(...)`, the same object for equal options. Raises OptionError."""
    return _build(name, METHODS.get(name), vocab_size, json.dumps(options, default=_not_json))


def option_departures(name: str, options: dict[Any, Any]) -> dict[str, Any]:
    """Return `methods.describe(...)`: the options that differ from their defaults. Raises OptionError.

    Options are checked one by one, so that each value of an option is checked once.
    """
    singles = [{option: value} for option, value in options.items()] or [{}]
    departures = [_describe(name, METHODS.get(name), json.dumps(single, default=_not_json)) for single in singles]
    return {option: single[option] for single in sorted(departures, key=list) for option in single}


@lru_cache(CACHE_SIZE)
def _build(name: str, factory: type[Method] | None, vocab_size: int, options: str) -> Method:
    return build(name, vocab_size, **json.loads(options))


@lru_cache(CACHE_SIZE)
def _describe(name: str, factory: type[Method] | None, options: str) -> dict[str, Any]:
    return describe(name, json.loads(options))


def _not_json(value: Any) -> Any:
    """Represent what YAML has and JSON lacks, such as a date, by a value that no option accepts."""
    return [str(value)]
