"""Commands on methods, which need no recorded suite; each returns an exit code and imports what it needs."""

import argparse
import sys

from bench.cli.result_commands import record_names
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR


def perf(args: argparse.Namespace) -> int:
    """`bench perf loss`"""
    from bench.perf.measure_loss import Sizes, loss
    from methods import METHODS, check_name

    names = [check_name(name, METHODS, "method") for name in args.methods] or list(METHODS)
    sizes = Sizes(args.vocabulary, args.length, args.batch, args.width, args.device)
    return DONE if loss(names, sizes) else FAILED


def perf_sample(args: argparse.Namespace) -> int:
    """`bench perf sample`"""
    from bench.engine.environment import Execution, resolve_device
    from bench.perf.measure_sampling import FULL, QUICK, speed

    try:
        resolve_device(Execution(device=args.device))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    presets = ["micro"] if args.quick else ["tiny", "small"]
    if args.preset:
        presets = [args.preset]
    return DONE if speed(presets, QUICK if args.quick else FULL, args.device) else FAILED


def perf_plan(args: argparse.Namespace) -> int:
    """`bench perf plan`"""
    from bench.cli.views.plans import show_plan
    from bench.perf.measure_planning import speed

    speed(args.arms, show_plan)
    return DONE


def perf_report(args: argparse.Namespace) -> int:
    """`bench perf report SUITE`"""
    from bench.perf.measure_reports import speed

    speed(args.runs, record_names(args))
    return DONE


def certify(args: argparse.Namespace) -> int:
    """`bench certify [METHOD ...]`"""
    from bench.certify import checks
    from bench.cli.certify import Request, list_subjects, show
    from methods import check_name

    if fault := _contradiction(args):
        print(fault, file=sys.stderr)
        return USAGE_ERROR
    only = tuple(dict.fromkeys(check_name(name, checks.CHECKS, "check") for name in args.only))
    request = Request(only, args.seed, args.runs if args.write else None, args.force, args.jobs)
    return DONE if show(list_subjects(args), request) else FAILED


def _contradiction(args: argparse.Namespace) -> str:
    """Why the options of `bench certify` contradict each other; "" if they do not."""
    if args.only and args.write:
        return "--only and --write: a certificate holds all checks; leave out one of the two"
    if args.estimator and args.suite:
        return "--estimator and --suite: the bounds of a suite name its estimators; leave out one of the two"
    if args.force and not args.write:
        return "--force without --write: checks always run, and only --write leaves out certificates that hold"
    return ""


def new_method(args: argparse.Namespace) -> int:
    """`bench new method NAME`"""
    from bench.cli.new_method import create_method

    create_method(args.name, args.like, args.plugin_file)
    return DONE


def list_methods(args: argparse.Namespace) -> int:
    """`bench methods`"""
    from bench.cli.views.methods import show_methods

    show_methods()
    return DONE


def show_method(args: argparse.Namespace) -> int:
    """`bench methods show NAME`"""
    from bench.cli.views.methods import show_method as show

    show(args.name)
    return DONE
