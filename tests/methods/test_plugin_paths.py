"""The import paths that plug-in files rely on stay valid, wherever the modules behind them move."""

import importlib
import os

import pytest

from methods import METHODS, PLUGINS, PluginError, plug
from methods.method import Method
from tests.conftest import ROOT

FORGERIES = ROOT.parent / "shared" / "cases" / "forgeries"

# Patches a constant of the certificate, which is no public path. It must not load as if nothing had happened.
NOT_LOADED = {"patch-verdict.py": "No module named 'bench.certify.verdict'"}

IMPORTS = """\
from methods import METHODS as REGISTERED
from methods.absorbing import Absorbing, Md4, Mdlm, Steps, point_mass, substitute
from methods.autoregressive import Autoregressive
from methods.d3pm import D3pm, D3pmAbsorb, D3pmUniform
from methods.genmd4 import GenMd4
from methods.gidd import Gidd
from methods.method import Latent, LogProbs, Method, Nats, Needs, Neighbour, Noise, Scores, Times, Tokens
from methods.method import draw, draw_uniform, pick, point_mass, substitute
from methods.mixing import ContinuousMixing, Mixing, excess, xlogratio
from methods.plaid import WIDTH, Plaid
from methods.schedules import Cosine, Geometric, Linear, LinearSigma, MdlmCosine, Polynomial, Schedule
from methods.sedd import SeddAbsorb, SeddUniform, total_noise
from methods.uniform import Udlm, UniformNoise
"""
BASES = ("Mdlm", "Autoregressive", "D3pmAbsorb", "GenMd4", "Gidd", "Plaid", "SeddAbsorb", "SeddUniform", "Udlm")
SUBCLASSES = "\n\n".join(f'class My{base}({base}):\n    """A subclass."""' for base in BASES)
REGISTRY = ", ".join(f'"my-{base.lower()}": My{base}' for base in BASES)

ALIASES = {
    "absorbing": "masked.absorbing",
    "d3pm": "discrete.d3pm",
    "genmd4": "masked.genmd4",
    "gidd": "discrete.gidd",
    "mixing": "discrete.mixing",
    "plaid": "continuous.plaid",
    "sedd": "discrete.sedd",
    "uniform": "discrete.uniform",
}


@pytest.fixture(autouse=True)
def _restore_registries():
    """Forget the methods that a test registers."""
    registries = [(registry, dict(registry)) for registry in (METHODS, PLUGINS)]
    yield
    for registry, before in registries:
        registry.clear()
        registry.update(before)


def test_a_plug_in_can_import_every_public_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"{IMPORTS}\n\n{SUBCLASSES}\n\nMETHODS = {{{REGISTRY}}}\n")
    plug(path)
    for base in BASES:
        assert METHODS[f"my-{base.lower()}"].__name__ == f"My{base}"


@pytest.mark.parametrize(("alias", "home"), ALIASES.items())
def test_an_alias_exports_what_its_module_defines(alias, home):
    exported, module = importlib.import_module(f"methods.{alias}"), importlib.import_module(f"methods.{home}")
    defined = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    assert defined <= {*exported.__all__}
    assert all(getattr(exported, name) is getattr(module, name) for name in defined)
    assert exported.__doc__.count("\n") == 0


def test_plug_ins_written_for_earlier_versions_load_unchanged():
    if not FORGERIES.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{FORGERIES} is not there")
    files = sorted(FORGERIES.rglob("*.py"))
    assert len(files) > 40
    errors: dict[str, str] = {}
    for file in files:
        try:
            plug(file)
        except PluginError as error:
            errors[file.name] = str(error)
    assert errors.keys() == NOT_LOADED.keys()
    assert all(reason in errors[name] for name, reason in NOT_LOADED.items())
    plugged = [factory for name, factory in METHODS.items() if name in PLUGINS]
    assert len(plugged) == len(files) - len(errors)
    assert all(issubclass(factory, Method) for factory in plugged)
