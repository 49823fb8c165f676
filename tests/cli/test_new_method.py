"""`bench new method`: what it writes can be trained and certified, and what it refuses leaves no trace."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.cli.new_method import copyable, create_method, rename
from bench.cli.templates.masked import Masked
from bench.launch.exit_codes import DONE, USAGE_ERROR
from methods import METHODS, PLUGINS, OptionError
from methods.method import Method
from tests.conftest import ROOT, TINY
from tests.support.certifying import limit_checks

pytestmark = pytest.mark.long

KINDS = [("my-method", None), ("bump-2", "gidd")]
FOLDERS = {None: "masked", "gidd": "discrete"}  # in methods/, by the method that is copied
QUICK = ("identities", "probes", "bound")
LAWS = (
    "test_training_ends_close_above_the_entropy_of_a_chain",
    "test_a_training_that_was_stopped_ends_as_one_that_was_not",
    "test_the_bound_does_not_depend_on_the_batch",
)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the checkout, new files included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


@pytest.fixture
def registry():
    """Forget the methods that a test registers."""
    registries = [(registry, dict(registry)) for registry in (METHODS, PLUGINS)]
    yield
    for registry, before in registries:
        registry.clear()
        registry.update(before)


def python(copy: Path, *arguments: str) -> str:
    """Run Python on the copy and return its output; fails with the output if the exit code is not 0."""
    variables = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    variables["COVERAGE_PROCESS_CONFIG"] = ""  # coverage measures the checkout, not the copy
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_is_what_its_python_imports(copy):
    code = "import bench, methods, tests; print(bench.__file__, methods.__file__, tests.__file__)"
    assert python(copy, "-c", code).split() == [
        str(copy / package / "__init__.py") for package in ("bench", "methods", "tests")
    ]


def test_new_methods_train_and_pass_their_tests_and_those_of_every_method(copy):
    tests = [
        "tests/project/test_readme.py::test_the_readme_names_every_registered_method",
        "tests/project/test_readme.py::test_links_of_the_documentation_lead_somewhere",
    ]
    for name, like in KINDS:
        create_method(name, like, None, copy)
        module = name.replace("-", "_")
        files = [f"methods/{FOLDERS[like]}/{module}.py", f"tests/methods/test_{module}.py"]
        python(copy, "-m", "ruff", "check", *files)
        python(copy, "-m", "ruff", "format", "--check", *files, "methods/__init__.py")
        tests += [
            f"tests/methods/test_{module}.py",
            f"tests/project/test_readme.py::test_every_method_and_option_has_its_row[{name}]",
            *(f"tests/laws/test_registry.py::{law}[{name}]" for law in LAWS),
        ]

    output = python(copy, "-m", "pytest", "--no-cov", "-q", "-p", "no:cacheprovider", *tests)
    assert re.search(r"^(\d+) passed", output, re.MULTILINE), output


@pytest.mark.slow
@pytest.mark.parametrize(("name", "like"), KINDS)
def test_a_new_method_can_be_certified(name, like, copy):
    create_method(name, like, None, copy)
    statement = f"print(is_certified(subject({name!r}, {{}}, 'float32'), Path('runs')))"
    code = f"from pathlib import Path\nfrom bench.certify.certificate_files import is_certified, subject\n{statement}"
    assert python(copy, "-c", code) == "False\n"
    python(copy, "-m", "bench", "certify", name, "--write")
    assert python(copy, "-c", code) == "True\n"
    python(copy, "-m", "mypy", f"methods/{FOLDERS[like]}/{name.replace('-', '_')}.py")


@pytest.mark.parametrize(("name", "like"), KINDS)
def test_a_new_method_changes_five_files_and_reports_them(name, like, copy, capsys):
    before = contents(copy)
    create_method(name, like, None, copy)
    after, module = contents(copy), name.replace("-", "_")
    reported = dict(reversed(line.split()) for line in capsys.readouterr().out.splitlines()[:5])
    assert reported == {
        f"methods/{FOLDERS[like]}/{module}.py": "wrote",
        f"tests/methods/test_{module}.py": "wrote",
        "methods/__init__.py": "changed",
        "methods/README.md": "changed",
        "README.md": "changed",
    }
    assert {path for path in after if after[path] != before.get(path)} == reported.keys()
    for path in before.keys() & reported.keys():
        remaining = iter(after[path])
        assert all(byte in remaining for byte in before[path]), f"{path} lost some of its text"


@pytest.mark.parametrize("like", copyable())
def test_every_method_with_its_own_file_can_be_copied(like, copy):
    create_method("twin", like, None, copy)
    factory = METHODS[like]
    source = Path(sys.modules[factory.__module__].__file__).read_text()
    folder = Path(*factory.__module__.split(".")[:-1])
    assert (copy / folder / "twin.py").read_text() == source.replace(f"class {factory.__name__}(", "class Twin(")
    (row,) = re.findall(r"^\| `twin` .*", (copy / "methods" / "README.md").read_text(), re.MULTILINE)
    assert factory.paper in row
    assert f"equals `{like}`" in row
    assert f'"twin", "{like}"' in (copy / "tests" / "methods" / "test_twin.py").read_text()


def test_imports_stay_sorted_and_entries_are_appended(copy):
    names = ["aa", "zz", "d2", "d10", "d3pm-two", "d3", "md4-two", "m-a", "ma", "plaid-2", "gidd-mdlm-masked"]
    for name in names:
        create_method(name, "gidd" if "mdlm" in name else None, None, copy)
    python(copy, "-m", "ruff", "check", "--select", "I", "methods/__init__.py")
    out = python(copy, "-c", "import methods; print(*methods.METHODS)")
    assert out.split() == [*METHODS, *names]
    readme = (copy / "methods" / "README.md").read_text()
    rows = readme[readme.index("| name | paper") :].split("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)`", rows, re.MULTILINE)[-len(names) :] == names
    assert (
        'NAME, TWIN = "gidd-mdlm-masked", "gidd"'
        in (copy / "tests" / "methods" / "test_gidd_mdlm_masked.py").read_text()
    )


@pytest.mark.parametrize(("name", "like"), KINDS)
def test_the_printed_commands_certify_and_run_a_new_plug_in(name, like, tmp_path, monkeypatch, capsys, registry):
    monkeypatch.chdir(tmp_path)
    limit_checks(monkeypatch, *QUICK)
    assert main(["new", "method", name, "--plugin", "my own.py", *(["--like", like] if like else [])]) == DONE
    assert contents(tmp_path).keys() == {"my own.py"}
    out = capsys.readouterr().out
    (arm,) = re.findall(r"- \{label.*\}", out)
    (tmp_path / "tiny.yaml").write_text(re.sub(r"arms:\n(  - .*\n)+", f"arms:\n  {arm}\n", TINY))
    commands = [shlex.split(line, comments=True)[1:] for line in out.splitlines() if line.startswith("  bench ")]
    assert [command[0] for command in commands] == ["methods", "certify", "run"]
    for command in commands:
        assert main(["tiny.yaml" if word == "SUITE" else word for word in command]) == DONE, command
    table = bench.load(tmp_path / "runs")
    assert list(table[table["metric"] == "bits_per_char"]["method"]) == [name]
    assert len(re.findall(" passed ", capsys.readouterr().out)) >= 6


def test_a_new_plug_in_needs_no_checkout_and_passes_ruff(tmp_path):
    create_method("mine", None, tmp_path / "mine.py", tmp_path / "nowhere")
    assert contents(tmp_path).keys() == {"mine.py"}
    python(ROOT, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path / "mine.py"))
    python(ROOT, "-m", "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path / "mine.py"))


def test_the_template_is_written_out_in_full_against_the_contract():
    assert Masked.__bases__ == (Method,)
    assert vars(Masked).keys() >= {"paper", "needs", "neighbours", *Method.__abstractmethods__}
    assert vars(Masked).keys() >= {"scored", "read", "prior", "prior_gap", "transition", "rates", "log_noise"}


REFUSED = [
    ("My_Method", None, '"My_Method" cannot be the name of a method; use lower-case'),
    ("2d", None, '"2d" cannot be the name'),
    ("gidd", None, 'method "gidd" is registered already'),
    ("class", None, "written as class, a Python keyword"),
    ("none", None, "written as None, a Python keyword"),
    ("schedule", None, "written as Schedule, which .*masked.py uses"),
    ("share", "gidd", "written as Share, which .*gidd.py uses"),
    ("option-error", None, "written as OptionError, which .*methods/__init__.py uses"),
    ("dict", None, "written as dict, which .*methods/__init__.py uses"),
    ("path", None, "written as path, which .*methods/__init__.py uses"),
    ("autoregressive", "ar", "autoregressive.py exists already; choose another name"),
    ("plugins", None, "test_plugins.py exists already; choose another name"),
    ("absorbing", None, "absorbing.py exists already; choose another name"),
    ("mine", "mdlm", 'method "mdlm" cannot be copied: absorbing.py holds mdlm, md4; take one of ar, genmd4, .*gidd'),
    ("mine", "d3pm-absorb", "d3pm.py holds d3pm-absorb, d3pm-uniform; take one of"),
    ("mine", "gid", 'unknown method "gid"; did you mean "gidd"'),
]


@pytest.mark.parametrize(("name", "like", "reason"), REFUSED)
def test_an_unusable_name_is_refused_and_nothing_is_written(name, like, reason, copy):
    before = contents(copy)
    with pytest.raises(OptionError, match=reason):
        create_method(name, like, None, copy)
    assert contents(copy) == before


@pytest.mark.parametrize(("name", "like", "reason"), [case for case in REFUSED if "exist" not in case[2]])
def test_a_plug_in_is_refused_for_the_same_names(name, like, reason, tmp_path):
    if "methods/__init__.py" in reason:  # the registry of the project has no part in it
        create_method(name, like, tmp_path / "mine.py")
        return
    with pytest.raises(OptionError, match=reason):
        create_method(name, like, tmp_path / "mine.py")
    assert not contents(tmp_path)


def test_an_existing_file_is_never_overwritten(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("kept")
    assert main(["new", "method", "mine", "--plugin", str(tmp_path / "mine.py")]) == USAGE_ERROR
    assert "mine.py exists already; choose another name, or move it away" in capsys.readouterr().err
    assert contents(tmp_path) == {"mine.py": b"kept"}
    (tmp_path / "link.py").symlink_to(tmp_path / "gone.py")
    with pytest.raises(OptionError, match="exists already"):
        create_method("mine", None, tmp_path / "link.py")
    with pytest.raises(OptionError, match=r"there is no folder .*missing; create it first"):
        create_method("mine", None, tmp_path / "missing" / "mine.py")


def test_outside_a_checkout_the_error_suggests_a_plug_in(copy, monkeypatch):
    with pytest.raises(OptionError, match=r"is missing or cannot be written.* --plugin FILE"):
        create_method("mine", None, None, copy / "reports")
    before = contents(copy)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != copy / "README.md" and allowed(path, mode))
    with pytest.raises(OptionError, match=r"README.md is missing or cannot be written.* --plugin FILE"):
        create_method("mine", None, None, copy)
    assert contents(copy) == before


@pytest.mark.parametrize("file", ["methods/__init__.py", "methods/README.md", "README.md"])
def test_a_file_without_the_place_for_a_method_is_refused_before_anything_is_written(file, copy):
    (copy / file).write_text("# other\n")
    before = contents(copy)
    with pytest.raises(OptionError, match=f"{file} has no place for a new method"):
        create_method("mine", None, None, copy)
    assert contents(copy) == before


def test_a_plug_in_is_not_copied(monkeypatch):
    monkeypatch.setitem(METHODS, "theirs", Masked)
    monkeypatch.setitem(PLUGINS, "theirs", None)
    with pytest.raises(OptionError, match='"theirs" cannot be copied: it is a plug-in; take one of ar'):
        create_method("mine", "theirs", None)


def test_renaming_changes_code_and_no_text():
    text = '"""Old, and é."""\nx = "é", Old, Older, a.Old  # Old\n\nclass Old(Base[Old]):\n    """Old."""\n'
    code = '"""Old, and é."""\nx = "é", Newer, Older, a.Newer  # Old\n\nclass Newer(Base[Newer]):\n    """Old."""\n'
    assert rename(text, "Old", "Newer") == code
