"""A plug-in that changes the harness is found, and what it changed is named."""

import math
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import bench.certify.checks as checks
import bench.perf
from bench.certify import bound_checks, false_alarms
from bench.certify.check import Case
from bench.certify.checks import certify
from bench.certify.oracle import Oracle
from bench.cli.main import main
from bench.engine.likelihood import bound
from bench.engine.likelihood.estimators import Estimator
from bench.engine.rng import Keyed
from bench.launch.exit_codes import FAILED, USAGE_ERROR
from methods import METHODS, PLUGINS, PluginError, method, plug
from methods.masked.absorbing import Absorbing
from methods.plugins import check_harness, list_harness_changes, plug_installed
from tests.conftest import TINY
from tests.methods.test_plugins import PLUGIN

PATCHES = {  # what a plug-in does, the places that it changes, and where to undo it
    "a constant": (
        "from bench.certify import false_alarms\nfalse_alarms.RATE = 0.0",
        ["bench.certify.false_alarms.RATE"],
        [(false_alarms, "RATE")],
    ),
    "a function": (
        "from bench.engine.likelihood import bound\nbound.bound = len",
        ["bench.engine.likelihood.bound.bound"],
        [(bound, "bound")],
    ),
    "the code of a function": (
        "from methods.method import pick\npick.__code__ = (lambda values, x: x).__code__",
        ["methods.method.pick.__code__"],
        [(method.pick, "__code__")],
    ),
    "a default": (
        "from bench.certify.oracle import Oracle\nOracle.__init__.__defaults__ = (None,)",
        ["bench.certify.oracle.Oracle.__init__.__defaults__"],
        [(Oracle.__init__, "__defaults__")],
    ),
    "methods of classes": (
        "from bench.certify.oracle import Oracle\nfrom bench.engine.rng import Keyed\n"
        "Oracle.hidden = Keyed.uniform = lambda self, *rest: None",
        ["bench.certify.oracle.Oracle.hidden", "bench.engine.rng.Keyed.uniform"],
        [(Oracle, "hidden"), (Keyed, "uniform")],
    ),
    "an abstract class": (
        "from bench.engine.likelihood.estimators import Estimator\nEstimator.reconstruction_draws = lambda *rest: 0",
        ["bench.engine.likelihood.estimators.Estimator.reconstruction_draws"],
        [(Estimator, "reconstruction_draws")],
    ),
    "a method that a base class lacked": (
        "from methods.absorbing import Absorbing\nAbsorbing.clock = lambda self, t: t",
        ["methods.masked.absorbing.Absorbing.clock"],
        [(Absorbing, "clock")],
    ),
    "an entry of a registry": (
        "from methods import METHODS as REGISTRY\nREGISTRY['mdlm'] = REGISTRY['md4']",
        ["methods.METHODS['mdlm']"],
        [],
    ),
    "a name that hides a builtin": (
        "import bench.certify.checks as checks\nchecks.abs = lambda number: 0.0",
        ["bench.certify.checks.abs"],
        [(checks, "abs")],
    ),
    "numbers in place": (
        "from bench.certify.bound_checks import PAIRS\nPAIRS.law.neg_()",
        ["bench.certify.bound_checks.PAIRS.law"],
        [],
    ),
    "a function of a library": (
        "import torch.nn.functional as F\nF.pad = F.relu",
        ["torch.nn.functional.pad"],
        [(F, "pad")],
    ),
    "a method of tensors": (
        "import torch\ntorch.Tensor.log_softmax = lambda self, dim: self",
        ["torch.Tensor.log_softmax"],
        [(torch.Tensor, "log_softmax")],
    ),
    "a method of a distribution": (
        "from scipy import stats\nstats.norm.cdf = lambda *distance: 0.5",
        ["scipy.stats.norm.cdf"],
        [(stats.norm, "cdf")],
    ),
    "the precision of numbers": (
        "import torch\ntorch.set_default_dtype(torch.float64)",
        ["torch.Storage", "torch.get_default_dtype()"],
        [(torch, "Storage")],
    ),
    "a module in the place of another": (
        "import sys, types\nsys.modules['bench.certify.rare_draws'] = types.ModuleType('bench.certify.rare_draws')",
        ["bench.certify.rare_draws"],
        [],
    ),
    "a module that it is the first to import": (
        "import bench.perf.measure_planning as first\nfirst.speed = print",
        ["bench.perf.measure_planning.speed"],
        [],
    ),
}


@pytest.fixture(autouse=True)
def _undo():
    """Undo what plug-ins register and change."""
    owners = [place for _, _, places in PATCHES.values() for place in places]
    before = [
        (owner, name, vars(owner).get(name, getattr(owner, name, None)), name in dir_of(owner))
        for owner, name in owners
    ]
    registries = [(registry, dict(registry)) for registry in (METHODS, PLUGINS)]
    law, module = bound_checks.PAIRS.law.clone(), sys.modules["bench.certify.rare_draws"]
    yield
    sys.modules["bench.certify.rare_draws"] = module
    torch.set_default_dtype(torch.float32)
    bound_checks.PAIRS.law.copy_(law)
    for owner, name, value, is_there in before:
        setattr(owner, name, value) if is_there else delattr(owner, name) if name in vars(owner) else None
    for registry, content in registries:
        registry.clear()
        registry.update(content)


def dir_of(owner: object) -> set[str]:
    """The names that an object itself has; of a function, also the parts of its definition."""
    return (
        {*vars(owner), "__code__", "__defaults__"}
        if callable(owner) and not isinstance(owner, type)
        else {*vars(owner)}
    )


def forget_module(monkeypatch) -> None:
    """Make a plug-in the first to import a module."""
    monkeypatch.delitem(sys.modules, "bench.perf.measure_planning", raising=False)
    monkeypatch.delattr(bench.perf, "measure_planning", raising=False)


def write(folder: Path, patch: str = "", text: str = PLUGIN) -> Path:
    (folder / "mine.py").write_text(f"{text}\n{patch}\n")
    return folder / "mine.py"


def test_a_plug_in_that_changes_the_harness_is_refused_by_name(tmp_path):
    path = write(tmp_path, PATCHES["methods of classes"][0])
    with pytest.raises(PluginError) as refusal:
        plug(path)
    changes = "bench.certify.oracle.Oracle.hidden, bench.engine.rng.Keyed.uniform"
    assert str(refusal.value).startswith(f"plug-in {path}: it changes {changes}, on which the numbers of every method")
    assert "mine" not in METHODS


@pytest.mark.parametrize(("patch", "places", "_"), PATCHES.values(), ids=PATCHES)
def test_every_change_is_named_once_and_nothing_else_is(patch, places, _, tmp_path, monkeypatch):
    forget_module(monkeypatch)
    path = write(tmp_path, patch)
    plug(path, allow_changes=True)
    assert list_harness_changes() == [f"{place} was changed by plug-in {path}" for place in places]


IMPORTS = """\
import logging
import bench.certify.rare_draws, bench.perf.measure_sampling, methods.schedules, reports
import torch.distributions, torch._dynamo, numpy.random
from functools import cache
from methods.options import parameters
from methods.schedules import Schedule

logging.getLogger("bench").debug("loaded")
parameters(Mine)
torch = torch.manual_seed(0)


class Own(Schedule):
    pass
"""


def test_imports_caches_loggers_and_subclasses_are_no_change(tmp_path):
    plug(write(tmp_path, IMPORTS))
    assert list_harness_changes() == []
    assert [check.passed for check in certify(Case("mine", {}), ("harness",))] == [True]


LATE = PLUGIN.replace(
    "METHODS =",
    "    def prior_gap(self, x):\n"
    "        from bench.certify import false_alarms\n"
    "        false_alarms.RATE = 0.0\n"
    "        return super().prior_gap(x)\n\n\nMETHODS =",
)


def test_a_change_by_a_verb_is_found_after_it_was_called(tmp_path):
    plug(write(tmp_path, text=LATE))
    check_harness()
    (check,) = certify(Case("mine", {}), ("harness",))
    assert check.passed
    METHODS["mine"](3).prior_gap(torch.zeros(1, 2, dtype=torch.long))
    (check,) = certify(Case("mine", {}), ("harness",))
    assert not check.passed
    assert check.figure == f"bench.certify.false_alarms.RATE was changed by plug-in {tmp_path / 'mine.py'}"
    with pytest.raises(PluginError, match="RATE was changed by"):
        check_harness()


def test_an_installed_package_that_changes_the_harness_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "somebodys_harness"
    package.mkdir()
    (package / "__init__.py").write_text(f"{PLUGIN}\n{PATCHES['a constant'][0]}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=r"package unknown: it changes bench\.certify\.false_alarms\.RATE, on which"):
        plug_installed([EntryPoint("theirs", "somebodys_harness:Mine", "bench.methods")], METHODS)
    assert "theirs" not in METHODS


def test_a_certificate_without_plug_ins_has_nothing_to_say_of_the_harness():
    assert list(certify(Case("mdlm", {}), ("harness",))) == []


def test_the_harness_is_judged_after_all_other_checks():
    assert list(checks.CHECKS)[-1] == "harness"


def test_a_certificate_fails_and_other_commands_refuse(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", {"harness": checks.CHECKS["harness"]})
    monkeypatch.setenv("COLUMNS", "400")
    path = write(tmp_path, PATCHES["a constant"][0])
    (tmp_path / "own.yaml").write_text(TINY.replace("mdlm", "mine"))
    assert main(["certify", "mine", "--plugin", str(path)]) == FAILED
    assert "bench.certify.false_alarms.RATE was changed by plug-in" in capsys.readouterr().out
    false_alarms.RATE = math.pi  # anything else than what the plug-in sets
    PLUGINS.clear()
    METHODS.pop("mine")
    assert main(["plan", str(tmp_path / "own.yaml"), "--plugin", str(path)]) == USAGE_ERROR
    assert "it changes bench.certify.false_alarms.RATE, on which the numbers" in capsys.readouterr().err
