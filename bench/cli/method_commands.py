"""What the commands of `bench` on methods do, which need no suite that was run; each returns an exit code and imports
what it needs by itself."""

import argparse
import sys

from bench.cli.suite_commands import record_names
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR


def perf(chosen: argparse.Namespace) -> int:
    """`bench perf loss`"""
    from bench.perf.loss import Sizes, loss
    from methods import METHODS, check_name

    names = [check_name(name, METHODS, "method") for name in chosen.methods] or list(METHODS)
    sizes = Sizes(chosen.vocabulary, chosen.length, chosen.batch, chosen.width, chosen.device)
    return DONE if loss(names, sizes) else FAILED


def perf_sample(chosen: argparse.Namespace) -> int:
    """`bench perf sample`"""
    from bench.engine.environment import Execution, settle
    from bench.perf.sample import FULL, QUICK, speed

    try:
        settle(Execution(device=chosen.device))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    presets = [chosen.preset] if chosen.preset else ["micro"] if chosen.quick else ["tiny", "small"]
    return DONE if speed(presets, QUICK if chosen.quick else FULL, chosen.device) else FAILED


def perf_plan(chosen: argparse.Namespace) -> int:
    """`bench perf plan`"""
    from bench.perf.plan import speed

    speed(chosen.arms)
    return DONE


def perf_report(chosen: argparse.Namespace) -> int:
    """`bench perf report SUITE`"""
    from bench.perf.report import speed

    speed(chosen.runs, record_names(chosen))
    return DONE


def certify(chosen: argparse.Namespace) -> int:
    """`bench certify [METHOD ...]`"""
    from bench.cli.certify import show
    from bench.tune.tuned_suite import read_tuned
    from methods import METHODS, check_name

    suites = read_tuned(chosen.suite, chosen.scale, chosen.data) if chosen.suite else ()
    arms = [(arm.method, arm.options) for suite in suites[:1] for arm in suite.spec.arms]  # the same on all data
    arms += [(check_name(name, METHODS, "method"), {}) for name in chosen.methods]
    fine = show(arms or [(name, {}) for name in METHODS], chosen.precision, chosen.runs if chosen.write else None)
    return DONE if fine else FAILED


def new_method(chosen: argparse.Namespace) -> int:
    """`bench new method NAME`"""
    from bench.cli.new_method import new_method as write

    write(chosen.name, chosen.like, chosen.plugin_file)
    return DONE


def list_methods(chosen: argparse.Namespace) -> int:
    """`bench methods`"""
    from bench.cli.views.methods import show_methods

    show_methods()
    return DONE


def show_method(chosen: argparse.Namespace) -> int:
    """`bench methods show NAME`"""
    from bench.cli.views.methods import show_method as show

    show(chosen.name)
    return DONE
