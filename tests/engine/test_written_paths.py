"""Paths in a suite: home folders are meant, nothing else is filled in, and what is missing is told with the reason."""

import re

import pytest

from bench.cli.main import main
from bench.engine.written_paths import explain_missing, resolve_path
from bench.launch.exit_codes import DONE, USAGE_ERROR
from tests.conftest import TINY

DATA = "{source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}"
PROSE = "It was the best of times, it was the worst of times.\n" * 40


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a text in it."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    (folder / "text.txt").write_text(PROSE)
    return folder


def suite(folder, path):
    file = folder / "suite.yaml"
    file.write_text(TINY.replace(DATA, f"{{source: text-file, length: 12, path: {path}}}"))
    return file


@pytest.mark.parametrize("path", ["~/text.txt", "user/text.txt", "../{}/user/text.txt", "./user/../user/text.txt"])
def test_a_path_starts_at_home_or_at_the_folder_of_the_suite(path, home, tmp_path, capsys, monkeypatch):
    file = suite(tmp_path, path.format(tmp_path.name))
    monkeypatch.chdir("/")
    assert main(["plan", str(file), "--runs", str(tmp_path / "runs")]) == DONE
    assert "text-file: 17 tokens in the vocabulary" in capsys.readouterr().out


@pytest.mark.parametrize("extended", ["~/parent.yaml", "{}/user/parent.yaml", "user/parent.yaml"])
def test_a_suite_may_extend_a_file_at_home_whose_paths_are_meant_from_there(extended, home, tmp_path, capsys):
    suite(home, "text.txt").rename(home / "parent.yaml")
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: {extended.format(tmp_path)}\nseeds: [1]\n")
    assert main(["plan", str(child), "--runs", str(tmp_path / "runs")]) == DONE
    assert "text-file: 17 tokens in the vocabulary" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("'${DATA}/text.txt'", r"\$\{DATA\}/text.txt: \$\{DATA\} is not filled in; write the path out"),
        ("$DATA/text.txt", r"\$DATA is not filled in; write the path out"),
        ("'%DATA%/text.txt'", r"%DATA% is not filled in; write the path out"),
        ("'{{ data }}/text.txt'", r"\{\{ data \}\} is not filled in; write the path out"),
        ("~nobody-of-this-name/a", "there is no home folder of ~nobody-of-this-name; write the path out"),
        ("'file:///text.txt'", "file:///text.txt: an address is not fetched; give a path"),
        ("'https://example.org/text.txt'", "an address is not fetched; give a path"),
        ("'text.txt '", "'text.txt ': there is no such file or folder; it starts or ends with a space, remove it"),
        (r"texts\text.txt", "separate folders by /, as in texts/text.txt"),
        ("'*.txt'", "wildcards are not filled in, name one file or folder"),
        ('"a\\0b"', "a path holds no NUL"),
        (
            "user/tex.txt",
            r'/user/tex.txt: there is no such file or folder; did you mean "text.txt"\?; a relative path starts at',
        ),
        (
            "use/text.txt",
            r'/use/text.txt: there is no such file or folder; did you mean "user"\?; a relative path starts at',
        ),
        (
            "nowhere",
            "/nowhere: there is no such file or folder; a relative path starts at {}/, the folder of the suite",
        ),
        ("link", "/link: a link that leads to no file or folder; mend the link, or name another path"),
        ("/dev/null", "/dev/null: is neither a file nor a folder"),
    ],
)
def test_a_path_that_leads_nowhere_is_explained_at_its_place(written, words, home, tmp_path, capsys):
    (tmp_path / "link").symlink_to("gone")
    file = suite(tmp_path, written)
    assert main(["plan", str(file)]) == USAGE_ERROR
    message = capsys.readouterr().err
    assert re.search(rf"^{file}:2:\d+: .*{words.replace('{}', str(tmp_path))}", message), message
    assert message.count("\n") == 1


@pytest.mark.parametrize("name", ["${X}.txt", "a*.txt", "a b ", r"a\b", "$X", "[a].txt"])
def test_an_odd_name_of_a_file_that_exists_is_taken(name, tmp_path):
    (tmp_path / name).write_text(PROSE)
    file = suite(tmp_path, f"'{name}'")
    assert main(["plan", str(file), "--runs", str(tmp_path / "runs")]) == DONE


@pytest.mark.parametrize("scorer", ["{kind: huggingface, model: $M/gpt2}", "{kind: cell, path: '${RUNS}/cells/a'}"])
def test_the_path_of_a_scorer_is_explained_too(scorer, tmp_path, capsys):
    file = tmp_path / "suite.yaml"
    file.write_text(TINY.replace("  samples:", f"  quality: {{scorer: {scorer}}}\n  samples:"))
    assert main(["plan", str(file)]) == USAGE_ERROR
    assert re.search(r"suite.yaml:12:\d+: \S+: \$\S+ is not filled in; write the path out", capsys.readouterr().err)


def test_a_suite_to_extend_that_is_missing_is_explained(tmp_path, capsys):
    file = tmp_path / "suite.yaml"
    (tmp_path / "families.yaml").write_text(TINY)
    for written, words in (
        ("familes.yaml", 'did you mean "families.yaml"?'),
        ("$HOME/families.yaml", "$HOME is not filled in; write the path out"),
        (".", "is not a file"),
    ):
        file.write_text(f"question: Why?\nextends: {written}\n")
        assert main(["plan", str(file)]) == USAGE_ERROR
        message = capsys.readouterr().err
        assert message.startswith(f'{file}:2:1: there is no file "{written}" to extend: ')
        assert words in message


def test_home_folders_of_others_are_meant_where_they_exist(tmp_path):
    assert resolve_path("~root/a", tmp_path).is_absolute()
    assert explain_missing("~root-of-no-one/a", tmp_path).startswith("~root-of-no-one/a: there is no home folder")
