"""Policies that step by a method's transition, by its rates, or deterministically."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.engine.sample.method_capabilities import on_trial, trial
from bench.engine.sample.policies.policy import Stepping
from bench.engine.sample.state import SamplerState
from methods.method import Latent, LogProbs, Method, Times

LATEST = 1 - 1e-5  # rates are evaluated at most at this time: those of some methods diverge at t = 1


class Ancestral(Stepping):
    """Draw z_s from the method's transition p(z_s | z_t); for SEDD this is Tweedie's analytic step.

    Causal methods write from left to right. `cached` makes no network call if no sequence has changed, for networks
    that are not conditioned on time (MDLM, arXiv:2406.07524v2).
    """

    name: Literal["ancestral"] = "ancestral"
    cached: bool = False
    fidelity = "limit"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        if self.cached and (method.needs.time or method.needs.self_condition):
            return "is conditioned on the time or on its own guess, so hidden states cannot be reused"
        return None if method.needs.causal else super().refusal(method, calls, tokens)

    def run(self, state: SamplerState, calls: int) -> Tensor:
        state.reuses_hidden = self.cached
        return super().run(state, calls)

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs | None:
        return method.transition(z, t, s, prediction)

    def move(self, state: SamplerState, t: Tensor, s: Tensor) -> None:
        method, next_z = state.model.method, state.z.clone()
        for rows, z, t_rows, prediction in state.predict(t):
            s_rows = s.expand_as(t_rows)
            log_p = self.law(method, z, t_rows, s_rows, prediction)
            if log_p is None:
                next_z[rows] = method.step(z, t_rows, s_rows, prediction, state.rng)
            else:
                next_z[rows] = state.draw(log_p, count=True)
        state.z = next_z


class Euler(Stepping):
    """Jump at the rates of time t for the length of the step (SEDD, arXiv:2310.16834v3, section 4)."""

    name: Literal["euler"] = "euler"
    fidelity = "limit"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        reason = super().refusal(method, calls, tokens)
        if reason is not None:
            return reason
        z, t, prediction = trial(method)
        with on_trial(method):
            rates = method.rates(z, t, prediction)
        return "has no rates to jump by (its time is discrete, or its z holds vectors)" if rates is None else None

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Return log of the rates times t - s; the remaining probability of staying is clamped at 0."""
        rates = method.rates(z, t.clamp(max=LATEST), prediction)
        assert rates is not None
        jumps = (t - s)[..., None] * rates
        stay = (1 - jumps.sum(-1, keepdim=True)).clamp(min=0)
        return (jumps + stay * F.one_hot(z, jumps.shape[-1])).log()


class Ddim(Stepping):
    """Take the deterministic step of DDIM (Song et al., arXiv:2010.02502)."""

    name: Literal["ddim"] = "ddim"
    fidelity = "limit"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        reason = super().refusal(method, calls, tokens)
        if reason is not None:
            return reason
        z, t, prediction = trial(method)
        with torch.no_grad(), on_trial(method):
            flow = method.flow(z, t, t, prediction)
        return "has no deterministic step (its z holds ids)" if flow is None else None

    def move(self, state: SamplerState, t: Tensor, s: Tensor) -> None:
        next_z = state.z.clone()
        for rows, z, t_rows, prediction in state.predict(t):
            flow = state.model.method.flow(z, t_rows, s.expand_as(t_rows), prediction)
            assert flow is not None
            next_z[rows] = flow
        state.z = next_z
