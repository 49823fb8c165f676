"""`bench new method NAME`: writes what a new method starts from, so that it trains and is certified as it stands.

Everything is worked out before anything is written: a name, file or place that will not do leaves all as it was.
"""

import inspect
import keyword
import os
import re
import shlex
import tokenize
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from bench.cli.templates.masked import Masked
from bench.engine.code_hash import ROOT
from methods import METHODS, PLUGINS, OptionError, check_name, parameters
from methods.method import Method
from methods.plugins import NAME

LAWS = Path(__file__).parent / "templates" / "laws.py"
REGISTRY, TABLE, README = "methods/__init__.py", "methods/README.md", "README.md"
DICTIONARY = r"^METHODS\b[^{]*\{.*?(?=^\})"  # up to its closing brace
ROWS = r"^\| name \| paper \|[^\n]*\n(?:\|[^\n]*\n)+"
LISTED = r"Registered methods: [^;]*"
MASKED_ROW = "mask | log p(x_i given z) at masked positions | `schedule` (linear) | equals `mdlm` for the same scores"


@dataclass(frozen=True)
class New:
    """A method that is to be written."""

    name: str
    like: str | None  # the registered method that it is a copy of; None: the masked template

    @property
    def module(self) -> str:
        """my_method for my-method."""
        return self.name.replace("-", "_")

    @property
    def title(self) -> str:
        """Its class, MyMethod for my-method."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def start(self) -> type[Method]:
        """The class that it starts from."""
        return METHODS[self.like] if self.like else Masked

    @property
    def source(self) -> Path:
        """The file that it starts from."""
        return _home(self.start)


def new_method(name: str, like: str | None, plugin: Path | None, root: Path = ROOT) -> None:
    """Writes a method called `name` and prints what was written and what comes next.

    It starts from a masked method, or as a copy of the one registered as `like`. It goes into the checkout at `root`
    with its registry line, rows and tests, or into the file `plugin` alone. Raises OptionError before anything is
    written when a name cannot be used, a file exists, or `root` is no checkout that can be written to.
    """
    new = New(name, like)
    _check_like(like)
    _check_name(new)
    files = _alone(new, plugin) if plugin else _in_project(new, root)
    for path, text in files.items():
        print("changed" if path.exists() else "wrote", path if plugin else path.relative_to(root))
        path.write_text(text, encoding="utf-8")
    print(_advice(new, plugin))


def copyable() -> list[str]:
    """The project's own methods that are alone in their file."""
    return [name for name in METHODS if name not in PLUGINS and _beside(name) == [name]]


def renamed(text: str, old: str, new: str) -> str:
    """Python source with a name changed where it is code; strings and comments stay."""
    lines = text.splitlines(keepends=True)
    for row, column in reversed([each.start for each in _words(text) if each.string == old]):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + new + line[column + len(old) :]
    return "".join(lines)


def _check_like(like: str | None) -> None:
    """Raises OptionError when there is no such method, or none that a copy of its file would give."""
    if like is None or check_name(like, METHODS, "method") in copyable():
        return
    why = "it is a plug-in" if like in PLUGINS else f"{_home(METHODS[like]).name} holds {', '.join(_beside(like))}"
    some = ", ".join(copyable())
    raise OptionError(f'method "{like}" cannot be copied: {why}; take one of {some}, or no --like for a masked method')


def _check_name(new: New) -> None:
    """Raises OptionError when no method, or none that starts from this file, can have the name."""
    if not NAME.fullmatch(new.name):
        allowed = "lower-case letters, digits and single hyphens, a letter first"
        raise OptionError(f'"{new.name}" cannot be the name of a method; use {allowed}')
    if new.name in METHODS:
        raise OptionError(f'method "{new.name}" is registered already; choose another name')
    for word in (new.module, new.title):
        if keyword.iskeyword(word):
            raise OptionError(f'method "{new.name}" would be written as {word}, a word of Python; choose another name')
    if new.title != new.start.__name__:
        _check_free(new, new.title, new.source)


def _check_free(new: New, word: str, path: Path) -> None:
    """Raises OptionError when a word that the method needs has a meaning in a file already."""
    if any(each.string == word for each in _words(path.read_text(encoding="utf-8"))):
        raise OptionError(f'method "{new.name}" would be written as {word}, which {path} uses; choose another name')


def _check_unused(path: Path) -> None:
    if os.path.lexists(path):
        raise OptionError(f"{path} exists already; choose another name, or move it away")


def _check_checkout(root: Path) -> None:
    for path in (root / "methods", root / "tests", *(root / changed for changed in (REGISTRY, TABLE, README))):
        if not os.access(path, os.W_OK):
            raise OptionError(
                f"{path} is missing or cannot be written, so this is no checkout to work in; "
                "write a file of your own with --plugin FILE"
            )


def _alone(new: New, path: Path) -> dict[Path, str]:
    """The file of a plug-in, by its path; raises OptionError when it exists or its folder does not."""
    _check_unused(path)
    if not path.absolute().parent.is_dir():
        raise OptionError(f"there is no folder {path.parent}; make it first, or name another file")
    return {path: f'{_text(new)}\n\nMETHODS = {{"{new.name}": {new.title}}}\n'}


def _in_project(new: New, root: Path) -> dict[Path, str]:
    """All files that are new or change in the checkout, by path; raises OptionError as `new_method` does."""
    own, tests = root / "methods" / f"{new.module}.py", root / "tests" / f"test_{new.module}.py"
    _check_checkout(root)
    _check_unused(own)
    _check_unused(tests)
    for word in (new.module, new.title):
        _check_free(new, word, root / REGISTRY)
    return {
        own: _text(new),
        root / REGISTRY: _registered(new, root / REGISTRY),
        root / TABLE: _added(root / TABLE, ROWS, f"{_row(new, root / TABLE)}\n"),
        root / README: _added(root / README, LISTED, f", `{new.name}`"),
        tests: _laws(new),
    }


def _text(new: New) -> str:
    """The source of the method."""
    return renamed(new.source.read_text(encoding="utf-8"), new.start.__name__, new.title)


def _laws(new: New) -> str:
    """The tests of the method."""
    text = LAWS.read_text(encoding="utf-8")
    if "schedule" not in parameters(new.start):
        text = text.replace('[{}, {"schedule": "geometric"}]', "[{}]")
    names = {"masked": new.name, "mdlm": new.like or "mdlm"}
    return re.sub("|".join(names), lambda found: names[found[0]], text)


def _registered(new: New, registry: Path) -> str:
    """The registry with the method at its end, and with its import between those that are sorted around it."""
    text = _added(registry, DICTIONARY, f'    "{new.name}": {new.title},\n')
    modules = re.findall(r"^from methods\.(\w+) import", text, re.MULTILINE)
    before = [each for each in modules if _order(each) < _order(new.module)]
    place = rf"^from methods\.{before[-1]} import (?:\([^)]*\)|[^\n]*)\n" if before else r"^(?=from methods\.)"
    at = _place(registry, text, place)
    return f"{text[:at]}from methods.{new.module} import {new.title}\n{text[at:]}"


def _order(module: str) -> list[tuple[bool, int, str]]:
    """What imports are sorted by: numbers inside a name count as numbers."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.findall(r"\d+|\D", module)]


def _row(new: New, table: Path) -> str:
    """Its row in the table of methods; a copy has that of its source."""
    cells = MASKED_ROW
    if new.like:
        text = table.read_text(encoding="utf-8")
        row = text[: _place(table, text, rf"^\| `{new.like}` \|[^\n]*")].splitlines()[-1]
        *others, identities = (cell.strip() for cell in row.strip("| ").split("|")[3:])
        cells = " | ".join([*others, f"equals `{new.like}` as long as it is a copy; {identities}"])
    return f"| `{new.name}` | {new.start.paper} | [{new.module}.py]({new.module}.py) | {cells} |"


def _added(path: Path, place: str, more: str) -> str:
    """The text of a file with something more where the first match of `place` ends."""
    text = path.read_text(encoding="utf-8")
    at = _place(path, text, place)
    return text[:at] + more + text[at:]


def _place(path: Path, text: str, pattern: str) -> int:
    """Where the first match ends; raises OptionError when the file does not look as it should."""
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise OptionError(f"{path} has no place for a new method, no match of {pattern}; --plugin FILE needs none")
    return found.end()


def _words(text: str) -> list[tokenize.TokenInfo]:
    """The names in Python source, in their order."""
    return [each for each in tokenize.generate_tokens(StringIO(text).readline) if each.type == tokenize.NAME]


def _home(factory: type[Method]) -> Path:
    return Path(inspect.getfile(factory))


def _beside(name: str) -> list[str]:
    """The registered methods in the file of this one."""
    return [other for other, factory in METHODS.items() if _home(factory) == _home(METHODS[name])]


def _advice(new: New, plugin: Path | None) -> str:
    """What to do next, in words and commands."""
    places = str(plugin) if plugin else f"methods/{new.module}.py and in its row of {TABLE}"
    whose = f"Its paper and docstrings are those of {new.like}" if new.like else f'Its paper is "{Masked.paper}"'
    commands = _commands_alone(new, plugin) if plugin else _commands_in_project(new)
    width = max(len(command) for command, _ in commands)
    lines = (f"  {command:{width}}  # {meaning}" for command, meaning in commands)
    told = f"It trains and is certified as it stands. {whose}:\nwrite your own in {places}. Next:"
    return "\n".join([told, *lines])


def _commands_in_project(new: New) -> list[tuple[str, str]]:
    return [
        (f"bench methods show {new.name}", "what a reader is told of it"),
        (f"bench certify {new.name} --write", "keep its certificate; a test asks for one of the code as it is"),
        (f"python -m pytest --no-cov tests/test_{new.module}.py", "its laws"),
    ]


def _commands_alone(new: New, plugin: Path) -> list[tuple[str, str]]:
    own = f"--plugin {shlex.quote(str(plugin))}"
    return [
        (f"bench methods show {new.name} {own}", "what a reader is told of it"),
        (f"bench certify {new.name} {own}", "is its bound a bound? with --write, reports print <="),
        (f"bench run SUITE {own}", f"an arm of the suite: - {{label: {new.name.upper()}, method: {new.name}}}"),
    ]
