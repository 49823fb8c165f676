"""Policies that step by a method's own law, by its rates, or without any randomness."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.engine.sample.capabilities import trial
from bench.engine.sample.policies.policy import Stepping
from bench.engine.sample.state import Walk
from methods.method import Latent, LogProbs, Method, Times

LATEST = 1 - 1e-5  # the latest time whose rates are asked for: at t = 1 those of some methods are infinite


class Ancestral(Stepping):
    """By the method's own law of z_s given z_t; for SEDD that is Tweedie's analytic step. Causal methods write from
    left to right.

    `cached`: no network call where no sequence changed, for networks that are not told the time (MDLM,
    arXiv:2406.07524v2).
    """

    name: Literal["ancestral"] = "ancestral"
    cached: bool = False
    fidelity = "limit"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        if self.cached and (method.needs.time or method.needs.self_condition):
            return "is told the time, or its own last guess, at every call: nothing can be kept of the one before"
        return None if method.needs.causal else super().refusal(method, calls, tokens)

    def run(self, walk: Walk, calls: int) -> Tensor:
        walk.keeps = self.cached
        return super().run(walk, calls)

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs | None:
        return method.transition(z, t, s, prediction)

    def move(self, walk: Walk, t: Tensor, s: Tensor) -> None:
        method, moved = walk.model.method, walk.z.clone()
        for rows, z, each, prediction in walk.look(t):
            at_s = s.expand_as(each)
            log_p = self.law(method, z, each, at_s, prediction)
            moved[rows] = (
                method.step(z, each, at_s, prediction, walk.rng) if log_p is None else walk.draw(log_p, count=True)
            )
        walk.z = moved


class Euler(Stepping):
    """Jumps at the rates of time t for as long as the step is (SEDD, arXiv:2310.16834v3, section 4)."""

    name: Literal["euler"] = "euler"
    fidelity = "limit"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        reason = super().refusal(method, calls, tokens)
        if reason is None and method.rates(*trial(method)) is None:
            return "has no rates to jump by (it lives in discrete time, or on vectors)"
        return reason

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """log of the rates times t - s, and of what they leave to stay, cut off at 0."""
        rates = method.rates(z, t.clamp(max=LATEST), prediction)
        assert rates is not None
        jumps = (t - s)[..., None] * rates
        stay = (1 - jumps.sum(-1, keepdim=True)).clamp(min=0)
        return (jumps + stay * F.one_hot(z, jumps.shape[-1])).log()


class Ddim(Stepping):
    """The step that draws nothing (Song et al., arXiv:2010.02502)."""

    name: Literal["ddim"] = "ddim"
    fidelity = "limit"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        reason = super().refusal(method, calls, tokens)
        if reason is not None:
            return reason
        z, t, prediction = trial(method)
        with torch.no_grad():
            flows = method.flow(z, t, t, prediction)
        return "has no step without randomness (its z holds ids)" if flows is None else None

    def move(self, walk: Walk, t: Tensor, s: Tensor) -> None:
        moved = walk.z.clone()
        for rows, z, each, prediction in walk.look(t):
            flowed = walk.model.method.flow(z, each, s.expand_as(each), prediction)
            assert flowed is not None
            moved[rows] = flowed
        walk.z = moved
