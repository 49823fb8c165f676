"""`docs/adding-a-method.md` is carried out: its file grows block by block, its commands run, what it quotes comes."""

import ast
import math
import re
import subprocess
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

import pytest
import torch

import bench
from bench import rows
from bench.bound import bound
from bench.certify import verdict
from bench.certify.kraft import VOCAB_SIZE, random_network
from bench.cli import DONE, FAILED, main
from methods import METHODS, PLUGINS, build, plug
from methods.method import Method, Needs
from methods.plugins import GROUP
from tests.conftest import ROOT

pytestmark = pytest.mark.long

TUTORIAL = (ROOT / "docs" / "adding-a-method.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE)
BELOW = "# radd.py, in the class, below "
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]\d+)?")
SHARE, LEAST = 0.02, 0.002  # relative and absolute: other processors round in other ways, which training makes larger


@dataclass
class Answer:
    """What a command of the tutorial answered, and what the tutorial quotes of it."""

    command: str
    code: int
    out: str
    quoted: str = ""


@dataclass
class Reader:
    """One who followed the tutorial to its end."""

    folder: Path
    answers: list[Answer]

    def certificates(self, plugin: str) -> list[Answer]:
        """The answers of `bench certify` on a file, in order."""
        return [each for each in self.answers if each.command.startswith(f"bench certify radd --plugin {plugin}")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    """The whole tutorial, carried out in an empty folder."""
    folder, holds = tmp_path_factory.mktemp("reader"), rows.holds
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "250")  # no line is folded
        # the certificates of the project's own methods are the business of other tests
        patch.setattr(rows, "holds", lambda of, runs: of.method == "mdlm" or holds(of, runs))
        return Reader(folder, follow(folder))


@pytest.fixture
def radd(reader):
    """The method of the finished file, registered."""
    plug(reader.folder / "radd.py")
    yield "radd"
    unplug()


def follow(folder: Path) -> list[Answer]:
    """Does what the blocks say, one after the other."""
    answers: list[Answer] = []
    for kind, block in BLOCKS:
        head, _, body = block.partition("\n")
        if kind == "python":
            file = folder / "radd.py"
            file.write_text(below(head.removeprefix(BELOW), file.read_text(), body) if BELOW in head else body)
        elif kind == "yaml":
            (folder / head.removeprefix("# ")).write_text(body)
        elif kind == "sh":
            answers += [carry_out(line) for line in block.splitlines()]
        else:
            assert kind == "text", kind
            answers[-1].quoted += block
    return answers


def below(member: str, source: str, more: str) -> str:
    """Source with more lines below the attribute or the function of its class that is called `member`."""
    (made,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    ends = {node.name: node.end_lineno for node in made.body if isinstance(node, ast.FunctionDef)}
    ends |= {node.targets[0].id: node.end_lineno for node in made.body if isinstance(node, ast.Assign)}
    lines = source.splitlines(keepends=True)
    gap = "\n" if more.startswith("    def ") else ""
    return "".join([*lines[: ends[member]], gap, more, *lines[ends[member] :]])


def carry_out(command: str) -> Answer:
    """`bench` in this process, anything else in a shell."""
    if not command.startswith("bench "):
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        return Answer(command, done.returncode, done.stdout + done.stderr)
    asked = verdict.QUESTIONS
    if "--write" not in command:  # the slowest question is asked once, for the certificate that is kept
        asked = tuple(each for each in asked if each != "samples")
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(verdict, "QUESTIONS", asked)
        code = main(command.split()[1:])
    unplug()
    return Answer(command, code, said.getvalue())


def unplug() -> None:
    """Forgets the methods of files."""
    for name in [name for name, plugin in PLUGINS.items() if plugin.path]:
        del METHODS[name], PLUGINS[name]


def missing(quoted: str, out: str) -> list[str]:
    """The quoted lines that do not come in `out` one after the other; … stands for anything."""
    lines, lost = iter(out.splitlines()), []
    for quote in quoted.splitlines():
        if quote.strip("… ") and not any(agree(quote, line) for line in lines):
            lost.append(quote)
            lines = iter(out.splitlines())
    return lost


def agree(quote: str, line: str) -> bool:
    """Whether all words are the same and all numbers close; the mark of a near tie depends on their last digits."""
    quote, line = (" ".join(each.replace("~", "").split()) for each in (quote, line))
    pattern = re.escape(NUMBER.sub("#", quote)).replace(r"\ …", "(?: .*?)??").replace("…", ".*?")
    found = re.fullmatch(pattern.replace(r"\#", f"({NUMBER.pattern})"), line)
    pairs = zip(NUMBER.findall(quote), found.groups(), strict=True) if found else []
    return found is not None and all(math.isclose(float(a), float(b), rel_tol=SHARE, abs_tol=LEAST) for a, b in pairs)


def figures(answer: Answer, check: str) -> tuple[float, float]:
    """The figure of a check and its error."""
    found = re.search(rf"{check} +({NUMBER.pattern}) ± ({NUMBER.pattern})", answer.out)
    assert found, answer.out
    return float(found[1]), float(found[2])


def test_every_command_answers_what_the_tutorial_quotes(reader):
    assert len(reader.answers) == 8
    for each in reader.answers:
        assert each.code == (FAILED if "FAILED" in each.quoted else DONE), (each.command, each.out)
        lost = missing(each.quoted, each.out)
        assert not lost, "\n".join([f"{each.command} does not answer", *lost, "but", each.out])


def test_a_wrong_word_or_number_of_the_tutorial_is_seen():
    out = " bound of an oracle, a table   -1.4291 ± 0.0400 nats  FAILED  the bound is \n AR   = 1.4 ± 0.1ᵃ   9\n"
    assert not missing("bound of an oracle, a table … FAILED …\n…\nAR … = 1.4 ± 0.1ᵃ …\n", out)
    for wrong in ("bound of an oracle, a table … passed …", "bound of an oracle, a chain … FAILED …", "AR … <= 1.4 …"):
        assert missing(wrong, out) == [wrong]
    assert missing("… -1.3291 ± 0.0400 nats …", out)
    assert missing("AR …\nbound of an oracle …", out) == ["bound of an oracle …"]  # not in this order


def test_the_finished_file_has_the_bound_of_mdlm_for_the_same_scores(radd):
    x = torch.arange(12).view(2, 6) % VOCAB_SIZE
    own, others = (
        bound(random_network(build(name, VOCAB_SIZE), spread=0.5, seed=0), x, 4, 2, 0, len(x))
        for name in (radd, "mdlm")
    )
    assert (own["integral"] > 0).all()
    for part, nats in own.items():
        torch.testing.assert_close(nats, others[part], rtol=1e-9, atol=1e-12)


def test_the_two_train_to_the_same_numbers(reader):
    table = bench.load(reader.folder / "runs")
    measured = table[(table["stage"] == "bound") & (table["status"] == "done")]
    values = measured.pivot_table("value", "metric", "arm").loc[["bits_per_char", "nats_per_token"]]
    assert values["RADD"].tolist() == pytest.approx(values["MDLM"].tolist(), rel=1e-4)  # in every digit shown
    assert (values["AR"] < values["RADD"]).all()


def test_leaving_the_weight_out_is_refused_by_every_oracle_and_every_kraft_sum(reader):
    lines, wrong = ((reader.folder / name).read_text().splitlines() for name in ("radd.py", "wrong.py"))
    assert [line for line in wrong if line not in lines] == ["        return -pick(prediction, x)"]
    (refused,) = reader.certificates("wrong.py")
    rows = re.findall(r"^ (?:bound of an oracle|Kraft sum).* (passed|FAILED) ", refused.out, re.MULTILINE)
    assert len(rows) >= 7
    assert set(rows) == {"FAILED"}
    assert figures(refused, "bound of an oracle, a table")[0] < -1


def test_exact_counts_are_worth_ten_times_as_many_texts(reader):
    drawn, counted, kept = reader.certificates("radd.py")
    before, after = (figures(each, "bound of an oracle, a table")[1] for each in (drawn, counted))
    assert (before / after) ** 2 == pytest.approx(10, rel=0.2)  # "ten times"
    assert figures(kept, "bound of an oracle, a table") == figures(counted, "bound of an oracle, a table")
    assert "samples" in kept.out


def test_the_finished_file_is_short(reader):
    assert len((reader.folder / "radd.py").read_text().splitlines()) <= 60


def test_what_a_method_may_say_is_what_the_contract_has():
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", TUTORIAL, re.MULTILINE)[1:]
    assert len(rows) > 8
    known = {*dir(Method), *(each.name for each in fields(Needs)), "options"}
    for row in rows:
        for word in re.findall(r"(?<= )`(?:needs = Needs\()?([a-z_]+)\b(?!\.)", f" {row}"):
            assert word in known, row


def test_the_way_on_exists(tmp_path, monkeypatch, capsys):
    assert all(words in TUTORIAL for words in ("bench new method my-method", "--like gidd", "--plugin my_method.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["new", "method", "my-method", "--like", "gidd", "--plugin", "my_method.py"]) == DONE
    assert main(["methods", "show", "my-method", "--plugin", "my_method.py"]) == DONE
    unplug()
    assert f'[project.entry-points."{GROUP}"]' in TUTORIAL
