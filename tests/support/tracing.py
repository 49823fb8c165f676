"""Which definitions of the project Python really calls."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from bench.engine.code_units.modules import Project, Unit


@contextmanager
def calls(codes: set[CodeType]) -> Iterator[None]:
    """Adds the code of every Python function that is called in any thread."""

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def unit_finder(project: Project, files: dict[str, str]) -> Callable[[CodeType], Unit | None]:
    """Finds the unit that holds a function; `files` are the paths of the modules. None for code of others."""
    spans = {
        file: [(_first_line(unit), unit.node.end_lineno or 0, unit) for unit in project.modules[module].units]
        for module, file in files.items()
    }

    def find(code: CodeType) -> Unit | None:
        if code.co_name == "<module>":
            return None
        line = code.co_firstlineno
        found = (unit for start, end, unit in spans.get(code.co_filename, ()) if start <= line <= end)
        return next(found, None)

    return find


def _first_line(unit: Unit) -> int:
    decorators = getattr(unit.node, "decorator_list", [])
    return min([unit.node.lineno, *(decorator.lineno for decorator in decorators)])
