"""`bench new method NAME`: write a method that can be trained and certified at once, with its tests and registration.

Every text is composed before the first file is written, so that a name, file or folder that cannot be used leaves
everything as it was.
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
from methods import METHODS, PLUGINS, OptionError, check_name, parameters
from methods.method import Method
from methods.plugins import NAME

ROOT = Path(__file__).resolve().parents[2]
TESTS_TEMPLATE = Path(__file__).parent / "templates" / "test_masked.py"

REGISTRY, METHODS_README, README = "methods/__init__.py", "methods/README.md", "README.md"
TEMPLATE_FOLDER = "masked"  # in methods/, for a method that starts from the template

# Where the files above are extended: after the first match.
REGISTRY_ENTRIES = r"^METHODS\b[^{]*\{.*?(?=^\})"
TABLE_ROWS = r"^\| name \| paper \|[^\n]*\n(?:\|[^\n]*\n)+"
METHOD_LIST = r"Registered methods: [^;]*"

TEMPLATE_CELLS = (
    "mask | log p(x_i given z) at masked positions | `schedule` (linear) | equals `mdlm` for the same scores"
)


@dataclass(frozen=True)
class NewMethod:
    """A method to be written, and the code that it starts from."""

    name: str
    like: str | None  # registered method to copy; None: the masked template

    @property
    def module(self) -> str:
        """Name of its module: my_method for my-method."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """Name of its class: MyMethod for my-method."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def source_class(self) -> type[Method]:
        """The class that it starts from."""
        return METHODS[self.like] if self.like else Masked

    @property
    def source_file(self) -> Path:
        """The file that it starts from."""
        return _file_of(self.source_class)

    @property
    def path(self) -> Path:
        """Its file, relative to methods/: in the folder of the method that it copies."""
        if self.like is None:
            return Path(TEMPLATE_FOLDER, f"{self.module}.py")
        packages = self.source_class.__module__.split(".")[1:-1]
        return Path(*packages, f"{self.module}.py")

    @property
    def import_path(self) -> str:
        """Dotted path of its module: methods.masked.my_method."""
        return ".".join(["methods", *self.path.with_suffix("").parts])

    @property
    def tests_path(self) -> Path:
        """Its tests, relative to the checkout."""
        return Path("tests", "methods", f"test_{self.module}.py")


def create_method(name: str, like: str | None, plugin: Path | None, root: Path = ROOT) -> None:
    """Write a method called `name`, and print which files were written and what to do next.

    The method starts from a masked template, or from a copy of the one registered as `like`. It is added to the
    checkout at `root`, with tests, registration and documentation, or written to the file `plugin` alone.

    Raises OptionError before anything is written if the name cannot be used, a file exists already, or `root` is not
    a checkout that can be written to.
    """
    new = NewMethod(name, like)
    _check_copyable(like)
    _check_usable_name(new)

    contents = _plugin_contents(new, plugin) if plugin else _checkout_contents(new, root)
    for path, text in contents.items():
        print("changed" if path.exists() else "wrote", path if plugin else path.relative_to(root))
        path.write_text(text, encoding="utf-8")
    print(_next_steps(new, plugin))


def copyable() -> list[str]:
    """The project's own methods that are the only one in their file."""
    return [name for name in METHODS if name not in PLUGINS and _methods_in_file_of(name) == [name]]


def rename(source: str, old: str, new: str) -> str:
    """Rename an identifier in Python source; strings and comments stay."""
    lines = source.splitlines(keepends=True)
    positions = [token.start for token in _identifiers(source) if token.string == old]
    for row, column in reversed(positions):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + new + line[column + len(old) :]
    return "".join(lines)


def _check_copyable(like: str | None) -> None:
    """Raises OptionError if there is no method `like`, or if it is a plug-in or shares its file."""
    if like is None or check_name(like, METHODS, "method") in copyable():
        return
    if like in PLUGINS:
        reason = "it is a plug-in"
    else:
        reason = f"{_file_of(METHODS[like]).name} holds {', '.join(_methods_in_file_of(like))}"
    names = ", ".join(copyable())
    raise OptionError(
        f'method "{like}" cannot be copied: {reason}; take one of {names}, or leave out --like for a masked method'
    )


def _check_usable_name(new: NewMethod) -> None:
    """Raises OptionError if no method, or none that starts from this file, can have the name."""
    if not NAME.fullmatch(new.name):
        rule = "lower-case letters, digits and single hyphens, starting with a letter"
        raise OptionError(f'"{new.name}" cannot be the name of a method; use {rule}')
    if new.name in METHODS:
        raise OptionError(f'method "{new.name}" is registered already; choose another name')
    for identifier in (new.module, new.class_name):
        if keyword.iskeyword(identifier):
            raise OptionError(
                f'method "{new.name}" would be written as {identifier}, a Python keyword; choose another name'
            )
    if new.class_name != new.source_class.__name__:
        _check_unused_identifier(new, new.class_name, new.source_file)


def _check_unused_identifier(new: NewMethod, identifier: str, path: Path) -> None:
    """Raises OptionError if a file uses an identifier that the method needs."""
    if any(token.string == identifier for token in _identifiers(path.read_text(encoding="utf-8"))):
        raise OptionError(
            f'method "{new.name}" would be written as {identifier}, which {path} uses; choose another name'
        )


def _check_new_file(path: Path) -> None:
    if os.path.lexists(path):
        raise OptionError(f"{path} exists already; choose another name, or move it away")


def _check_checkout(new: NewMethod, root: Path) -> None:
    """Raises OptionError if a folder or file of the checkout that has to change cannot be written."""
    folders = [(root / "methods" / new.path).parent, (root / new.tests_path).parent]
    files = [root / name for name in (REGISTRY, METHODS_README, README)]
    for path in [*folders, *files]:
        if not os.access(path, os.W_OK):
            raise OptionError(
                f"{path} is missing or cannot be written, so this is not a checkout to work in; "
                "write a plug-in with --plugin FILE instead"
            )


def _plugin_contents(new: NewMethod, path: Path) -> dict[Path, str]:
    """The text of the plug-in file; raises OptionError if the file exists or its folder does not."""
    _check_new_file(path)
    if not path.absolute().parent.is_dir():
        raise OptionError(f"there is no folder {path.parent}; create it first, or name another file")
    source = _with_public_imports(_source_text(new))
    return {path: f'{source}\n\nMETHODS = {{"{new.name}": {new.class_name}}}\n'}


def _checkout_contents(new: NewMethod, root: Path) -> dict[Path, str]:
    """The texts of the files that are new or change in the checkout; raises OptionError as `create_method` does."""
    registry, table, readme = root / REGISTRY, root / METHODS_README, root / README
    method, tests = root / "methods" / new.path, root / new.tests_path

    _check_checkout(new, root)
    _check_new_file(method)
    _check_new_file(tests)
    for identifier in (new.module, new.class_name):
        _check_unused_identifier(new, identifier, registry)

    return {
        method: _source_text(new),
        registry: _registry_text(new, registry),
        table: _inserted(table, TABLE_ROWS, f"{_table_row(new, table)}\n"),
        readme: _inserted(readme, METHOD_LIST, f", `{new.name}`"),
        tests: _tests_text(new),
    }


def _source_text(new: NewMethod) -> str:
    """The source of the method."""
    return rename(new.source_file.read_text(encoding="utf-8"), new.source_class.__name__, new.class_name)


def _with_public_imports(source: str) -> str:
    """Import families by their public paths, methods.mixing for methods.discrete.mixing, and sort the imports again."""
    source = re.sub(r"^from methods\.\w+\.(\w+) import", r"from methods.\1 import", source, flags=re.MULTILINE)
    return re.sub(
        r"(?:^from methods\.[^\n(]*\n)+",
        lambda block: "".join(sorted(block[0].splitlines(keepends=True))),
        source,
        flags=re.MULTILINE,
    )


def _tests_text(new: NewMethod) -> str:
    """The tests of the method."""
    text = TESTS_TEMPLATE.read_text(encoding="utf-8")
    if "schedule" not in parameters(new.source_class):
        text = text.replace('[{}, {"schedule": "geometric"}]', "[{}]")
    names = {"masked": new.name, "mdlm": new.like or "mdlm"}
    return re.sub("|".join(names), lambda match: names[match[0]], text)


def _registry_text(new: NewMethod, registry: Path) -> str:
    """The registry with the method as its last entry, and its import in sorted order."""
    text = _inserted(registry, REGISTRY_ENTRIES, f'    "{new.name}": {new.class_name},\n')
    modules = re.findall(r"^from (methods\.[\w.]+) import", text, re.MULTILINE)
    preceding = [module for module in modules if _import_order(module) < _import_order(new.import_path)]

    pattern = r"^(?=from methods\.)"
    if preceding:
        pattern = rf"^from {re.escape(preceding[-1])} import (?:\([^)]*\)|[^\n]*)\n"
    end = _end_of_match(registry, text, pattern)
    return f"{text[:end]}from {new.import_path} import {new.class_name}\n{text[end:]}"


def _import_order(module: str) -> list[tuple[bool, int, str]]:
    """Sort key of imports: digits within a name are compared as numbers."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.findall(r"\d+|\D", module)]


def _table_row(new: NewMethod, table: Path) -> str:
    """Its row in the table of methods; a copy takes over the row of its source."""
    cells = TEMPLATE_CELLS
    if new.like:
        text = table.read_text(encoding="utf-8")
        row = text[: _end_of_match(table, text, rf"^\| `{new.like}` \|[^\n]*")].splitlines()[-1]
        *source_cells, identities = (cell.strip() for cell in row.strip("| ").split("|")[3:])
        cells = " | ".join([*source_cells, f"equals `{new.like}` as long as it is a copy; {identities}"])
    link = new.path.as_posix()
    return f"| `{new.name}` | {new.source_class.paper} | [{link}]({link}) | {cells} |"


def _inserted(path: Path, pattern: str, addition: str) -> str:
    """The text of a file with an addition at the end of the first match of `pattern`."""
    text = path.read_text(encoding="utf-8")
    end = _end_of_match(path, text, pattern)
    return text[:end] + addition + text[end:]


def _end_of_match(path: Path, text: str, pattern: str) -> int:
    """Where the first match ends; raises OptionError if there is none."""
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise OptionError(f"{path} has no place for a new method, no match of {pattern}; --plugin FILE needs none")
    return match.end()


def _identifiers(source: str) -> list[tokenize.TokenInfo]:
    """The names in Python source, in order."""
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return [token for token in tokens if token.type == tokenize.NAME]


def _file_of(factory: type[Method]) -> Path:
    return Path(inspect.getfile(factory))


def _methods_in_file_of(name: str) -> list[str]:
    """The registered methods that the file of this one defines."""
    file = _file_of(METHODS[name])
    return [registered for registered, factory in METHODS.items() if _file_of(factory) == file]


def _next_steps(new: NewMethod, plugin: Path | None) -> str:
    """What to do next, with commands."""
    places = str(plugin) if plugin else f"methods/{new.path.as_posix()} and in its row of {METHODS_README}"
    origin = f"Its paper and docstrings are those of {new.like}" if new.like else f'Its paper is "{Masked.paper}"'
    steps = _plugin_steps(new, plugin) if plugin else _checkout_steps(new)

    width = max(len(command) for command, _ in steps)
    lines = (f"  {command:{width}}  # {purpose}" for command, purpose in steps)
    summary = f"It can be trained and certified at once. {origin}:\nwrite your own in {places}. Next:"
    return "\n".join([summary, *lines])


def _checkout_steps(new: NewMethod) -> list[tuple[str, str]]:
    return [
        (f"bench methods show {new.name}", "what readers see of it"),
        (f"bench certify {new.name} --write", "store its certificate; a test requires one for the current code"),
        (f"python -m pytest --no-cov {new.tests_path.as_posix()}", "its tests"),
    ]


def _plugin_steps(new: NewMethod, plugin: Path) -> list[tuple[str, str]]:
    option = f"--plugin {shlex.quote(str(plugin))}"
    return [
        (f"bench methods show {new.name} {option}", "what readers see of it"),
        (f"bench certify {new.name} {option}", "check its bound; with --write, reports print <="),
        (f"bench run SUITE {option}", f"with the arm - {{label: {new.name.upper()}, method: {new.name}}} in the suite"),
    ]
