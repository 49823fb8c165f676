"""Follow `docs/adding-a-method.md`: write its files, run its commands, and compare their output with what it quotes."""

import ast
import math
import re
import subprocess
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

import pytest

import bench
from bench.certify.certificate_files import Subject
from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED
from bench.results import suite_certificates
from bench.testing import assert_same_bound
from methods import METHODS, PLUGINS, plug
from methods.method import Method, Needs
from methods.plugins import GROUP
from tests.conftest import ROOT
from tests.support.certifying import limit_checks, without

pytestmark = pytest.mark.long

TUTORIAL = (ROOT / "docs" / "adding-a-method.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE)
INSERTION = "# radd.py, in the class, below "
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]\d+)?")
RTOL, ATOL = 0.02, 0.002  # processors round differently, and training amplifies the difference


@dataclass
class Answer:
    """The exit code and output of a command, and what the tutorial quotes of the output."""

    command: str
    code: int
    out: str
    quoted: str = ""


@dataclass
class Reader:
    """The state after the tutorial was followed to its end."""

    folder: Path
    answers: list[Answer]

    def certificates(self, plugin: str) -> list[Answer]:
        """The answers of `bench certify` for a file, in order."""
        command = f"bench certify radd --plugin {plugin}"
        return [answer for answer in self.answers if answer.command.startswith(command)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    """The whole tutorial, followed in an empty folder."""
    folder, is_certified = tmp_path_factory.mktemp("reader"), suite_certificates.is_certified

    def is_certified_or_of_the_project(subject: Subject, runs: Path) -> bool:
        """Other tests check the certificates of the project's own methods."""
        return subject.plugin is None or is_certified(subject, runs)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "400")  # so that no line is folded
        patch.setattr(suite_certificates, "is_certified", is_certified_or_of_the_project)
        return Reader(folder, follow(folder))


@pytest.fixture
def radd(reader):
    """The method of the finished file, registered."""
    plug(reader.folder / "radd.py")
    yield "radd"
    unplug()


def follow(folder: Path) -> list[Answer]:
    """Write the files and run the commands of the blocks, in order."""
    answers: list[Answer] = []
    for kind, block in BLOCKS:
        head, _, body = block.partition("\n")
        if kind == "python":
            file = folder / "radd.py"
            if INSERTION in head:
                body = insert_below(head.removeprefix(INSERTION), file.read_text(), body)
            file.write_text(body)
        elif kind == "yaml":
            (folder / head.removeprefix("# ")).write_text(body)
        elif kind == "sh":
            answers += [execute(line) for line in block.splitlines()]
        else:
            assert kind == "text", kind
            answers[-1].quoted += block
    return answers


def insert_below(member: str, source: str, addition: str) -> str:
    """Insert lines below the attribute or function `member` of the only class in the source."""
    (definition,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    ends = {node.name: node.end_lineno for node in definition.body if isinstance(node, ast.FunctionDef)}
    ends |= {node.targets[0].id: node.end_lineno for node in definition.body if isinstance(node, ast.Assign)}
    lines = source.splitlines(keepends=True)
    gap = "\n" if addition.startswith("    def ") else ""
    return "".join([*lines[: ends[member]], gap, addition, *lines[ends[member] :]])


def execute(command: str) -> Answer:
    """Run `bench` in this process, and any other command in a shell."""
    if not command.startswith("bench "):
        process = subprocess.run(command, shell=True, capture_output=True, text=True)
        return Answer(command, process.returncode, process.stdout + process.stderr)

    slow = () if "--write" in command else ("samples",)  # checked once, for the certificate that is stored
    out = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        limit_checks(patch, *without(*slow))
        code = main(command.split()[1:])
    unplug()
    return Answer(command, code, out.getvalue())


def unplug() -> None:
    """Remove the methods of plug-in files from the registry."""
    for name in [name for name, plugin in PLUGINS.items() if plugin.path]:
        del METHODS[name], PLUGINS[name]


def missing(quoted: str, out: str) -> list[str]:
    """The quoted lines that do not appear in `out`, in this order; … matches any text."""
    lines, absent = iter(out.splitlines()), []
    for quote in quoted.splitlines():
        if quote.strip("… ") and not any(agree(quote, line) for line in lines):
            absent.append(quote)
            lines = iter(out.splitlines())
    return absent


def agree(quote: str, line: str) -> bool:
    """True if all words are equal and all numbers close; the mark of a near tie (~) is ignored."""
    quote, line = (" ".join(text.replace("~", "").split()) for text in (quote, line))
    pattern = re.escape(NUMBER.sub("#", quote)).replace(r"\ …", "(?: .*?)??").replace("…", ".*?")
    match = re.fullmatch(pattern.replace(r"\#", f"({NUMBER.pattern})"), line)
    if match is None:
        return False
    pairs = zip(NUMBER.findall(quote), match.groups(), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=RTOL, abs_tol=ATOL) for a, b in pairs)


def figures(answer: Answer, check: str) -> tuple[float, float]:
    """The estimate of a check and its standard error."""
    match = re.search(rf"{check} +({NUMBER.pattern}) ± ({NUMBER.pattern})", answer.out)
    assert match, answer.out
    return float(match[1]), float(match[2])


def test_every_command_answers_what_the_tutorial_quotes(reader):
    assert len(reader.answers) == 8
    for answer in reader.answers:
        assert answer.code == (FAILED if "FAILED" in answer.quoted else DONE), (answer.command, answer.out)
        absent = missing(answer.quoted, answer.out)
        assert not absent, "\n".join([f"{answer.command} does not print", *absent, "but", answer.out])


def test_a_wrong_word_or_number_of_the_tutorial_is_seen():
    out = " bound of an oracle, a table   -1.4291 ± 0.0400 nats  FAILED  the bound is \n AR   = 1.4 ± 0.1ᵃ   9\n"
    assert not missing("bound of an oracle, a table … FAILED …\n…\nAR … = 1.4 ± 0.1ᵃ …\n", out)
    for wrong in ("bound of an oracle, a table … passed …", "bound of an oracle, a chain … FAILED …", "AR … <= 1.4 …"):
        assert missing(wrong, out) == [wrong]
    assert missing("… -1.3291 ± 0.0400 nats …", out)
    assert missing("AR …\nbound of an oracle …", out) == ["bound of an oracle …"]  # not in this order


def test_the_finished_file_has_the_bound_of_mdlm_for_the_same_scores(radd):
    assert_same_bound(radd, "mdlm")


def test_the_two_train_to_the_same_numbers(reader):
    table = bench.load(reader.folder / "runs")
    measured = table[(table["stage"] == "bound") & (table["status"] == "done")]
    values = measured.pivot_table("value", "metric", "arm").loc[["bits_per_char", "nats_per_token"]]
    assert values["RADD"].tolist() == pytest.approx(values["MDLM"].tolist(), rel=1e-4)  # in every digit shown
    assert (values["AR"] < values["RADD"]).all()


def test_leaving_the_weight_out_is_refused_by_every_bound_and_every_kraft_sum(reader):
    lines, wrong = ((reader.folder / name).read_text().splitlines() for name in ("radd.py", "wrong.py"))
    assert [line for line in wrong if line not in lines] == ["        return -pick(prediction, x)"]
    (rejection,) = reader.certificates("wrong.py")
    outcomes = re.findall(r"^ (?:bound of|Kraft sum).* (passed|FAILED) ", rejection.out, re.MULTILINE)
    assert len(outcomes) >= 10
    assert set(outcomes) == {"FAILED"}
    assert figures(rejection, "bound of an oracle, a chain")[0] < -2


def test_exact_counts_are_worth_many_times_as_many_texts(reader):
    drawn, counted, stored = (
        (figures(certificate, "bound of an oracle, a hidden chain"), certificate.out)
        for certificate in reader.certificates("radd.py")
    )
    assert (drawn[0][1] / counted[0][1]) ** 2 == pytest.approx(36, rel=0.2)  # "36 times"
    assert stored[0] == counted[0]
    assert "samples" in stored[1]


def test_the_finished_file_is_short(reader):
    assert len((reader.folder / "radd.py").read_text().splitlines()) <= 60


def test_what_a_method_may_say_is_what_the_contract_has():
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", TUTORIAL, re.MULTILINE)[1:]
    assert len(rows) > 8
    contract = {*dir(Method), *(field.name for field in fields(Needs)), "options"}
    for row in rows:
        for word in re.findall(r"(?<= )`(?:needs = Needs\()?([a-z_]+)\b(?!\.)", f" {row}"):
            assert word in contract, row


def test_the_way_on_exists(tmp_path, monkeypatch, capsys):
    assert all(words in TUTORIAL for words in ("bench new method my-method", "--like gidd", "--plugin my_method.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["new", "method", "my-method", "--like", "gidd", "--plugin", "my_method.py"]) == DONE
    assert main(["methods", "show", "my-method", "--plugin", "my_method.py"]) == DONE
    unplug()
    assert f'[project.entry-points."{GROUP}"]' in TUTORIAL
