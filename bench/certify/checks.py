"""The checks that a method has to pass, and what they found."""

import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch

from bench.certify import kraft
from bench.certify import leaks as probes
from bench.certify import rare_draws as rare
from bench.certify import sampler as court
from bench.certify.identities import compare
from bench.certify.oracle import Hidden, Source, Table, from_chain
from bench.certify.tightness import Tightness, measure
from bench.engine.data.sources.markov import Markov
from bench.engine.model.model import Precision
from methods import METHODS, OptionError, build, parameters
from methods.method import Method

log = logging.getLogger(__name__)

QUESTIONS = ("identities", "probes", "oracle", "samples", "kraft")
SURPRISE = 3.0  # standard errors
LENIENT = 4.0  # where several are asked at once, or what is compared is off by order 1 / calls
DOCUMENTS = 512
COARSE = (8, 16)  # numbers of steps between which the gap of discrete time has to halve
HALVED = (0.3, 0.7)
VANISHING = 0.2  # of the distance in 16 calls may be left in 256; at the rate 1 / calls it is 1/16

PAIRS = Table(  # all texts of two tokens, far from independent
    torch.tensor([0.30, 0.05, 0.02, 0.01, 0.25, 0.04, 0.20, 0.03, 0.10], dtype=torch.float64), 3, 2
)


@dataclass(frozen=True)
class Check:
    """One question that was put to a method."""

    name: str
    figure: str  # what was found, with its error
    passed: bool
    meaning: str  # what had to hold


@dataclass(frozen=True)
class Case:
    """A registered method with its options, and the precision of its network's scores."""

    name: str
    options: Mapping[str, Any]
    precision: Precision = "float32"

    @property
    def dtype(self) -> torch.dtype:
        """That of the scores."""
        found: torch.dtype = getattr(torch, self.precision)
        return found

    def build(self, vocab_size: int, **changes: Any) -> Method:
        """The method for ids 0..vocab_size-1, always with the same parameters; raises OptionError."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(self.name, vocab_size, **{**self.options, **changes})


def certify(case: Case, questions: Sequence[str] | None = None) -> Iterator[Check]:
    """Puts the questions to a method; raises OptionError as `methods.build` does."""
    asked = {
        "identities": _ask_neighbours,
        "probes": _ask_probes,
        "oracle": _ask_oracle,
        "samples": _ask_court,
        "kraft": _ask_kraft,
    }
    for question in QUESTIONS if questions is None else questions:
        try:
            yield from asked[question](case)
        except OptionError:
            raise
        except Exception as error:  # whatever the mathematics of a method raises is a fault of it
            log.info("%s", traceback.format_exc())
            yield Check(question, f"{type(error).__name__}: {error}", False, "the question can be asked")


def _ask_neighbours(case: Case) -> Iterator[Check]:
    for each in METHODS[case.name].neighbours:
        found = compare(case.name, each)
        own, theirs = f"{case.name}{_told(each.own)}", f"{each.name}{_told(each.theirs)}"
        meaning = f"with the same knowledge the bounds of {own} and {theirs} agree"
        yield Check(f"identity with {each.name}", f"{found:.0e}", found <= each.within, meaning)


def _ask_probes(case: Case) -> Iterator[Check]:
    for title, change, meaning in probes.probe(case.build(probes.VOCAB_SIZE)):
        yield Check(f"probe: {title}", f"{change:.0e}", change <= probes.ROUNDING, meaning)


def _ask_oracle(case: Case) -> Iterator[Check]:
    discrete = case.build(2).needs.steps is not None
    for title, source in sources().items():
        found = measure(case.build(source.vocab_size), source, DOCUMENTS, case.dtype)
        yield _judge(f"bound of an oracle, {title}", found, discrete)
    if discrete and "steps" in parameters(METHODS[case.name]):
        yield _halves(case)
    if METHODS[case.name].widening:
        yield _widens(case)


def _ask_court(case: Case) -> Iterator[Check]:
    method, chain = case.build(PAIRS.vocab_size), court.CHAIN
    for policy in court.USUAL:
        rooms = [calls for calls in court.CALLS if court.fits(method, policy, calls, PAIRS.length)]
        if rooms:
            few = rooms if court.is_followed(method, policy) else rooms[-1:]
            yield from _judge_table(court.hear_table(method, policy, PAIRS, few, dtype=case.dtype))
        if court.fits(method, policy, court.CHAIN_CALLS, chain.length):
            heard = court.hear_chain(case.build(chain.alphabet), policy, court.CHAIN_CALLS, dtype=case.dtype)
            yield _judge_chain(heard, court.CHAIN_CALLS)
    for other in court.OTHERS:
        calls = court.enough(method, other, PAIRS.length)
        if calls is not None:
            yield from _judge_table(court.hear_table(method, other, PAIRS, [calls], dtype=case.dtype))
    yield _judge_rare(case.build(rare.VOCAB_SIZE))


def _ask_kraft(case: Case) -> Iterator[Check]:
    for spread in kraft.SPREADS:
        claimed = kraft.measure(case.build(kraft.VOCAB_SIZE), spread, case.precision)
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
        "a table": Table(law(81), 3, 4),
        "a chain of order 1": from_chain(Markov(order=1, alphabet=6, length=12).draw_chain(), 12),
        "a chain of order 2": from_chain(Markov(order=2, alphabet=3, length=8).draw_chain(), 8),
        "a hidden chain": Hidden(law(4), law(4, 4), law(4, 5), 8),
    }


def _judge(name: str, found: Tightness, discrete: bool) -> Check:
    """In continuous time the bound has to be the entropy; in discrete time it must not be below it."""
    figure, sound = f"{found.gap} nats", found.gap.surprise >= -SURPRISE
    if discrete:
        return Check(name, figure, sound, "the bound is not below -log p(x)")
    meaning = "the bound is -log p(x)"
    if abs(found.given_away.mean) > 1e-4:
        figure, meaning = f"{figure}; {found.given_away} at the ends", f"{meaning}, but for what the ends cannot know"
    return Check(name, figure, sound and abs(found.rest.surprise) <= SURPRISE, meaning)


def _halves(case: Case) -> Check:
    source = sources()["a table"]
    coarse, fine = (measure(case.build(source.vocab_size, steps=steps), source, 4 * DOCUMENTS).gap for steps in COARSE)
    ratio = fine.mean / coarse.mean
    figure = f"{coarse} nats in {COARSE[0]} steps, {fine} in {COARSE[1]}"
    return Check("gap by steps", figure, HALVED[0] < ratio < HALVED[1], "twice the steps leave half the gap")


def _widens(case: Case) -> Check:
    """What the ends give away, from narrow ends to the default ones."""
    source, widening = sources()["a table"], METHODS[case.name].widening
    found = [measure(case.build(source.vocab_size, **each), source, DOCUMENTS) for each in widening]
    where = [", ".join(f"{name} {value}" for name, value in each.items()) or "the default" for each in widening]
    figure = "; ".join(f"{each.given_away} nats at {ends}" for each, ends in zip(found, where, strict=True))
    costs = [each.given_away.mean for each in found]
    vanishing = all(wider < narrower / 2 for narrower, wider in pairwise(costs))
    tight = all(abs(each.rest.surprise) <= SURPRISE for each in found)
    return Check("ends", figure, vanishing and tight, "the bound is -log p(x) and what its ends cost, ever less")


def _judge_table(drawn: court.Draws) -> Iterator[Check]:
    if court.CALLS[-1] in drawn.distance and drawn.policy.fidelity == "limit":
        yield _judge_law(drawn)
    yield _judge_texts(drawn)


def _judge_law(drawn: court.Draws) -> Check:
    few, many = court.CALLS[-2:]
    meaning = "the law of texts, computed step by step, tends to that of the source (total variation)"
    passed = drawn.distance[many] < VANISHING * drawn.distance[few]
    return Check(f"{drawn.policy.label()}: steps of an oracle", _far(drawn), passed, meaning)


def _far(drawn: court.Draws) -> str:
    return f"{', '.join(f'{distance:.4f} in {calls}' for calls, distance in drawn.distance.items())} calls"


def _judge_texts(drawn: court.Draws) -> Check:
    figure = f"{', '.join(f'{each:+.1f} in {calls}' for calls, each in drawn.surprise.items())} calls"
    whose = "the computed law" if drawn.distance else "its law"
    meaning = f"texts drawn from a table follow {whose} (chi-square, in standard deviations; -log p(x))"
    if drawn.distance and drawn.policy.fidelity == "changed":
        meaning += f"; the policy changes the law on purpose, by {_far(drawn)}"
    passed = all(abs(each) <= LENIENT for each in [*drawn.surprise.values(), drawn.nats.surprise])
    return Check(f"{drawn.policy.label()}: texts, a table", f"{figure}; {drawn.nats} nats", passed, meaning)


def _judge_chain(drawn: court.Transitions, calls: int) -> Check:
    meaning = "transitions of drawn texts follow the chain's (chi-square, in standard deviations; -log p(x))"
    passed = max(abs(drawn.surprise), abs(drawn.nats.surprise)) <= LENIENT
    figure = f"{drawn.surprise:+.1f} in {calls} calls; {drawn.nats} nats"
    return Check(f"{drawn.policy.label()}: texts, a chain", figure, passed, meaning)


def _judge_rare(method: Method) -> Check:
    own = court.draws_itself(method)
    found = rare.of_a_step(method) if own else rare.of_the_harness()
    figure = f"{found.mean:+.1f} ± {found.error:.1f} of {found.error**2:.0f}"
    who = "its own steps draw" if own else "the harness draws for it"
    meaning = f"tokens of probability 2^-25 come as often as they should where {who}"
    return Check("draws of rare tokens", figure, abs(found.surprise) <= SURPRISE, meaning)


def _told(options: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""
