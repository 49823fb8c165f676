"""The contract of `methods/method.py`: what each verb returns, called once at [B, L] and once at packed positions [N].

A violation says what came back and how to mend it. Whether the numbers are right is left to the other checks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.certify.check import Case, Check
from bench.certify.returned_values import (
    ANY_SHAPE,
    AS_LOGARITHMS,
    IDS,
    PER_POSITION,
    ROUNDING,
    VOCAB_SIZE,
    Fault,
    Judge,
    describe,
    judge_law,
    judge_nats,
    judge_tensor,
    optional,
)
from bench.engine.model.method_with_network import times
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from methods.method import Latent, LogProbs, Method, Times, Tokens
from methods.plugins import find_plugin_line

SEQUENCES, LENGTH = 16, 6  # with V, different numbers, so that no shape fits by chance
MEANING = "every verb returns the shape, the data type and the range that the contract asks for"

PER_SEQUENCE = "t has one time per sequence [B] here: take it as t[:, None]"
INITIALISE = "call super().__init__() first in __init__"


@dataclass(frozen=True)
class Positions:
    """The arguments of verbs at some positions P."""

    x: Tokens
    z: Latent
    t: Times
    s: Times
    scores: Tensor
    prediction: LogProbs


@torch.no_grad()
def check_contract(case: Case) -> Iterator[Check]:
    """A failed check for each violation, or one that passed. Raises OptionError."""
    try:
        method = case.build(VOCAB_SIZE)
    except AttributeError as error:  # of a parameter that is set before nn.Module is initialised
        yield Check("contract: __init__", _describe_error(error), False, INITIALISE)
        return

    trial = _Trial(method)
    trial.ask_all()
    for verb, (returned, way_out) in trial.faults.items():
        yield Check(f"contract: {verb}", returned, False, way_out)
    if not trial.faults:
        yield Check("contract", f"{len(trial.verbs)} verbs", True, MEANING)


class _Trial:
    """Calls of all verbs of a method, and the first fault of each."""

    def __init__(self, method: Method):
        self.method, self.needs = method, method.needs
        self.verbs: dict[str, None] = {}
        self.faults: dict[str, Fault] = {}
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randint(VOCAB_SIZE, (SEQUENCES, LENGTH), generator=generator)
        self.rng = Stream(0)

    def ask_all(self) -> None:
        """Call every verb: first those of sequences, then those of positions."""
        self._ask("__init__", lambda: self.method, _judge_instance, INITIALISE)
        if self.faults:
            return

        method, x = self.method, self.x
        t = times(method, (torch.arange(SEQUENCES, dtype=torch.float64) + 0.5) / SEQUENCES)
        with in_sequences(method, x):
            z = self._ask("corrupt", lambda: method.corrupt(x, t, self.rng), self._judge_latent(x), PER_SEQUENCE)
            if z is None:  # what the other verbs would be called with
                return
            self._ask_sequences(z, t)

        scores = self.rng.normal((*x.shape, VOCAB_SIZE + self.needs.extra_scores)).float()
        t_BL = t[:, None].expand(x.shape)
        s_BL = (t_BL - 1 / (self.needs.steps or 10)).clamp(min=0)
        rows = torch.ones_like(x, dtype=torch.bool).nonzero(as_tuple=True)
        tensors = (x, z, t_BL, s_BL, scores)
        with in_sequences(method, x):
            self._ask_positions(self._read(*tensors))
        with at_positions(method, rows[1], LENGTH):
            self._ask_positions(self._read(*(tensor[rows] for tensor in tensors)))

    def _read(self, x: Tokens, z: Latent, t: Times, s: Times, scores: Tensor) -> Positions:
        """The arguments of verbs, with the prediction that the method reads from scores."""
        prediction = self._ask("read", lambda: self.method.read(scores, z, t), judge_law(x, None), ANY_SHAPE)
        return Positions(x, z, t, s, scores, scores.log_softmax(-1) if prediction is None else prediction)

    def _ask_sequences(self, z: Latent, t: Times) -> None:
        """Call the verbs that get whole sequences."""
        method, x = self.method, self.x
        scored = optional(judge_tensor(x.shape, "bool", way_out="return a bool for each position, or None for all"))
        self._ask("scored", lambda: method.scored(z), scored, ANY_SHAPE)
        self._ask("prior_gap", lambda: method.prior_gap(x), judge_nats(x, 0.0), PER_POSITION)
        self._ask("feed", lambda: method.feed(z, t), judge_tensor(None, None), PER_SEQUENCE)
        if self.needs.time:
            self._ask("clock", lambda: method.clock(t), judge_tensor(None, "float"), PER_SEQUENCE)
        if self._is_sampled():
            advice = "define prior, which draws z at t = 1: the method has steps, which start there"
            self._ask("prior", lambda: method.prior(x, self.rng), self._judge_latent(x), advice)

    def _is_sampled(self) -> bool:
        """Whether the method defines a part of sampling by steps."""
        verbs = ("prior", "transition", "step", "flow", "rates")
        return any(getattr(type(self.method), verb) is not getattr(Method, verb) for verb in verbs)

    def _ask_positions(self, p: Positions) -> None:
        """Call the verbs that get positions P."""
        method, arguments = self.method, (p.x, p.z, p.t, p.prediction)
        by_position = judge_tensor(p.x.shape, "float", way_out=PER_POSITION)
        self._ask("bound", lambda: method.bound(*arguments), self._judge_bound(p), ANY_SHAPE)
        if type(method).objective is not Method.objective:
            self._ask("objective", lambda: method.objective(*arguments), by_position, PER_POSITION)
        addends = self._ask("addends", lambda: method.addends(*arguments), _judge_names, PER_POSITION)
        for name in addends or {}:
            self._ask(f"addends[{name}]", partial(addends.get, name), by_position, PER_POSITION)
        scores, law = judge_tensor(p.scores.shape, "float", may_be_infinite=True), _uniform(p.x)
        self._ask("perfect", lambda: method.perfect(law, law, p.z, p.t), scores, ANY_SHAPE)
        if not self.needs.causal:
            advice = "define log_noise, from which the certificate computes exact posteriors; " + ANY_SHAPE
            self._ask("log_noise", lambda: method.log_noise(p.z, p.t), self._judge_noise(p.x), advice)
        if method.guesses_last or self._is_sampled():
            last_guess = judge_law(p.x, VOCAB_SIZE)
            self._ask("last_guess", lambda: method.last_guess(p.z, p.t, p.prediction), last_guess, ANY_SHAPE)
        if self._is_sampled():
            self._ask_steps(p)

    def _ask_steps(self, p: Positions) -> None:
        """Call the verbs of the reverse process."""
        method, states = self.method, VOCAB_SIZE + self.needs.extra_tokens
        arguments = (p.z, p.t, p.s, p.prediction)
        law, latent = optional(judge_law(p.x, states)), self._judge_latent(p.x)
        transition = self._ask("transition", lambda: method.transition(*arguments), law, ANY_SHAPE)
        flow = self._ask("flow", lambda: method.flow(*arguments), optional(latent), ANY_SHAPE)
        if transition is not None or type(method).step is not Method.step:
            self._ask("step", lambda: method.step(*arguments, self.rng), latent, ANY_SHAPE)
        elif flow is None and not {"transition", "flow"} & self.faults.keys():
            self.faults["step"] = "no transition, step or flow", "define one of them, or no prior: it starts the steps"
        rates = optional(judge_tensor((*p.x.shape, states), "float64", 0.0))
        self._ask("rates", lambda: method.rates(p.z, p.t, p.prediction), rates, ANY_SHAPE)

    def _ask(self, verb: str, call: Callable[[], Any], judge: Judge, advice: str) -> Any:
        """What a verb returns; None, with its fault noted, if it raises an exception or violates the contract."""
        self.verbs[verb] = None
        before = self.x.clone()
        try:
            value = call()
            fault = next(judge(value), None)
        except Exception as error:  # a verb of a plug-in can raise anything
            fault = (_describe_error(error), advice)
        if fault is None and not torch.equal(before, self.x):
            fault = ("x was changed in place", "leave the arguments as they are; use torch.where or clone")
        self.x.copy_(before)
        if fault is not None:
            self.faults.setdefault(verb, fault)
        return value if fault is None else None

    def _judge_latent(self, like: Tokens) -> Judge:
        """A judge of noisy text: ids that the network knows, or vectors."""
        if self.needs.vector_width:
            return judge_tensor((*like.shape, self.needs.vector_width), "float")

        def judge(z: Any) -> Iterator[Fault]:
            yield from judge_tensor(like.shape, "int64", way_out=IDS)(z)
            if int(z.min()) < 0 or int(z.max()) >= VOCAB_SIZE + self.needs.extra_tokens:
                yield f"{describe(z)}, for V = {VOCAB_SIZE} and {self.needs.extra_tokens} extra tokens", IDS

        return judge

    def _judge_bound(self, p: Positions) -> Judge:
        def judge(nats: Any) -> Iterator[Fault]:
            yield from judge_tensor(p.x.shape, "float64", way_out=PER_POSITION)(nats)
            if float(nats.mean()) < -ROUNDING:
                yield (
                    f"{describe(nats)}, mean {float(nats.mean()):.3g}",
                    "a guess has to cost: return -log p, not log p",
                )

        return judge

    def _judge_noise(self, x: Tokens) -> Judge:
        def judge(log_q: Any) -> Iterator[Fault]:
            way_out = "return log q(z | x = v) for each of the V tokens v, on the last axis, and for no mask"
            yield from judge_tensor((*x.shape, VOCAB_SIZE), "float", way_out=way_out, may_be_infinite=True)(log_q)
            if not self.needs.vector_width and float(log_q.max()) > ROUNDING:
                yield describe(log_q), AS_LOGARITHMS

        return judge


def _judge_instance(method: Method) -> Iterator[Fault]:
    if "_parameters" not in vars(method):
        yield "nn.Module is not initialised", INITIALISE
    elif getattr(method, "vocab_size", None) != VOCAB_SIZE:
        size = f"vocab_size is {getattr(method, 'vocab_size', 'not set')}, built for {VOCAB_SIZE} tokens"
        yield size, "set self.vocab_size = vocab_size in __init__; a mask is no token"
    elif not 0 <= method.t_min < 1:
        yield f"t_min is {method.t_min}", "times run from 0, clean text, to 1, noise; t_min is at or just above 0"


def _judge_names(addends: Any) -> Iterator[Fault]:
    if not isinstance(addends, dict):
        yield f"{addends!r:.40}", "return a dict of tensors by name"


def _uniform(x: Tokens) -> LogProbs:
    return torch.zeros(*x.shape, VOCAB_SIZE, dtype=torch.float64).log_softmax(-1)


def _describe_error(error: Exception) -> str:
    line, text = find_plugin_line(error), str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}{f' ({line})' if line else ''}"
