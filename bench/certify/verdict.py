"""The checks that a method has to pass, and what they found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.certify import court, kraft, probes
from bench.certify.certificates import write
from bench.certify.identities import compare
from bench.certify.oracle import Hidden, Source, from_chain
from bench.certify.oracle import Table as Counted
from bench.certify.tightness import Tightness, measure
from bench.data.markov import Markov
from methods import METHODS, build, describe, parameters

QUESTIONS = ("identities", "probes", "oracle", "samples", "kraft")
SURPRISE = 3.0  # standard errors
DTYPE, PRECISION = torch.float32, "float32"  # of the scores that an oracle gives
LENIENT = 4.0  # where what is compared is off by order 1 / calls
DOCUMENTS = 512
COARSE = (8, 16)  # numbers of steps between which the gap of discrete time has to halve
HALVED = (0.3, 0.7)


PAIRS = Counted(  # all texts of two tokens, far from independent
    torch.tensor([0.30, 0.05, 0.02, 0.01, 0.25, 0.04, 0.20, 0.03, 0.10], dtype=torch.float64), 3, 2
)


@dataclass(frozen=True)
class Check:
    """One question that was put to a method."""

    name: str
    figure: str  # what was found, with its error
    passed: bool
    meaning: str  # what had to hold


def certify(name: str, options: dict[str, Any], questions: Sequence[str] | None = None) -> Iterator[Check]:
    """Puts the questions to the method registered as `name` with these options; raises OptionError as `build` does."""
    asked = {
        "identities": _ask_neighbours,
        "probes": _ask_probes,
        "oracle": _ask_oracle,
        "samples": _ask_court,
        "kraft": _ask_kraft,
    }
    for question in QUESTIONS if questions is None else questions:
        yield from asked[question](name, options)


def _ask_neighbours(name: str, options: dict[str, Any]) -> Iterator[Check]:
    for each in METHODS[name].neighbours:
        found = compare(name, each)
        meaning = (
            f"with the same knowledge the bounds of {name}{_told(each.own)} and {each.name}{_told(each.theirs)} agree"
        )
        yield Check(f"identity with {each.name}", f"{found:.0e}", found <= each.within, meaning)


def _ask_probes(name: str, options: dict[str, Any]) -> Iterator[Check]:
    for title, change, meaning in probes.probe(build(name, probes.VOCAB_SIZE, **options)):
        yield Check(f"leak: {title}", f"{change:.0e}", change <= probes.ROUNDING, meaning)


def _told(options: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""


def _ask_oracle(name: str, options: dict[str, Any]) -> Iterator[Check]:
    discrete = build(name, 2, **options).needs.steps is not None
    for title, source in sources().items():
        found = measure(build(name, source.vocab_size, **options), source, DOCUMENTS, DTYPE)
        yield _judge(f"bound of an oracle, {title}", found, discrete)
    if discrete and "steps" in parameters(METHODS[name]):
        yield _halves(name, options)


def _ask_court(name: str, options: dict[str, Any]) -> Iterator[Check]:
    for drawn in court.hear(build(name, PAIRS.vocab_size, **options), PAIRS):
        yield _judge_draws(drawn)


def _ask_kraft(name: str, options: dict[str, Any]) -> Iterator[Check]:
    for spread in kraft.SPREADS:
        claimed = kraft.measure(build(name, kraft.VOCAB_SIZE, **options), spread)
        meaning = "exp(-bound) of all texts sums to at most 1"
        figure = f"{1 + claimed.mean:.4f} ± {claimed.error:.4f}"
        yield Check(f"Kraft sum, random weights of {spread}", figure, claimed.surprise <= SURPRISE, meaning)


@cache
def sources() -> dict[str, Source]:
    """The sources of the court, by name."""
    generator = torch.Generator().manual_seed(0)

    def law(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(1.5).softmax(-1)

    return {
        "a table": Counted(law(81), 3, 4),
        "a chain of order 1": from_chain(Markov(order=1, alphabet=6, length=12).draw_chain(), 12),
        "a chain of order 2": from_chain(Markov(order=2, alphabet=3, length=8).draw_chain(), 8),
        "a hidden chain": Hidden(law(4), law(4, 4), law(4, 5), 8),
    }


def _judge(name: str, found: Tightness, discrete: bool) -> Check:
    """In continuous time the bound has to be the entropy; in discrete time it must not be below it."""
    if discrete:
        return Check(name, f"{found.gap} nats", found.gap.surprise >= -SURPRISE, "the bound is not below -log p(x)")
    meaning = "the bound is -log p(x), but for the total correlation at t_min"
    if found.given_away.mean > 1e-4:
        meaning += f" ({found.given_away.mean:.4f} nats, taken off)"
    return Check(name, f"{found.rest} nats", abs(found.rest.surprise) <= SURPRISE, meaning)


def _judge_draws(drawn: court.Draws) -> Check:
    distances = ", ".join(f"{distance:.4f} in {calls}" for calls, distance in drawn.distance.items())
    figure = f"{distances} calls (noise {drawn.noise:.4f}); {drawn.nats} nats"
    meaning = f"in {max(drawn.distance)} calls an oracle draws from the law of the source, by chi-square and entropy"
    passed = max(abs(drawn.surprise), abs(drawn.nats.surprise)) <= LENIENT
    return Check(f"{drawn.policy} samples, distance", figure, passed, meaning)


def show(arms: Sequence[tuple[str, dict[str, Any]]], keep: bool) -> bool:
    """Prints what every method with its options was asked and what was found; True when all passed.

    With `keep` the certificates are written, too.
    """
    console, fine = Console(highlight=False), True
    for name, options in arms:
        departures = describe(name, options)
        found = list(certify(name, options))
        console.print(f"[bold]{name}{_told(departures)}[/bold]")
        table = Table("check", "found", "", "has to hold", box=None, header_style="bold")
        for each in found:
            fine = fine and each.passed
            table.add_row(each.name, each.figure, "passed" if each.passed else "FAILED", each.meaning)
        console.print(table)
        console.print(f"kept in {write(name, departures, PRECISION, found)}\n" if keep else "")
    return fine


def _halves(name: str, options: dict[str, Any]) -> Check:
    source = sources()["a table"]
    coarse, fine = (
        measure(build(name, source.vocab_size, **{**options, "steps": steps}), source, 4 * DOCUMENTS).gap
        for steps in COARSE
    )
    ratio = fine.mean / coarse.mean
    figure = f"{coarse} nats in {COARSE[0]} steps, {fine} in {COARSE[1]}"
    return Check("gap by steps", figure, HALVED[0] < ratio < HALVED[1], "twice the steps leave half the gap")
