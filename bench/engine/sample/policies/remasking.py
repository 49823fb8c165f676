"""Policies that may revise written tokens: ReMDM for masks, self-correction for noise that consists of tokens."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.engine.sample.method_capabilities import on_trial, trial
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.policy import Policy, Stepping, times
from bench.engine.sample.policies.unmasking import mask_refusal
from bench.engine.sample.state import SamplerState
from methods.method import Latent, LogProbs, Method, Times, pick
from methods.schedules import Schedule

CLEAN = 0.01  # the time at which the network corrects a finished text (GIDD)


class Remask(Stepping):
    """ReMDM (arXiv:2503.00307): mask visible tokens again with probability sigma.

    Masked tokens are revealed with probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t), which leaves q(z_s | x)
    unchanged. `rule` gives sigma, whose upper bound is (1 - alpha_s) / alpha_t:

        cap      min(`eta`, the upper bound)
        rescale  `eta` times the upper bound
        star     1 - alpha_s: everything is noised afresh; `eta` is not used

    With `confident`, sigma is shared out by a softmax over the visible tokens of how improbable each was when it was
    written. Masks are then revealed as if nothing were masked again, so that more of them are left than under
    q(z_s | x).
    """

    name: Literal["remask"] = "remask"
    rule: Literal["cap", "rescale", "star"] = "cap"
    eta: Annotated[float, Field(ge=0, le=1)] = 0.02
    confident: bool = False
    fidelity = "changed"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        return mask_refusal(method) or super().refusal(method, calls, tokens)

    def masks_again(self, method: Method, t: Tensor, s: Tensor) -> Tensor:
        """Return sigma."""
        schedule = _schedule(method)
        upper_bound = ((1 - schedule.alpha(s)) / schedule.alpha(t)).clamp(max=1.0)  # at t = 1 nothing is visible
        if self.rule == "star":
            return 1 - schedule.alpha(s)
        return upper_bound.clamp(max=self.eta) if self.rule == "cap" else self.eta * upper_bound

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Return log p(z_s | z_t) at masked positions: a revealed token, or the mask."""
        schedule, guess = _schedule(method), method.last_guess(z, t, prediction).double().log_softmax(-1)
        alpha_t, alpha_s = schedule.alpha(t), schedule.alpha(s)
        sigma = torch.zeros_like(t) if self.confident else self.masks_again(method, t, s)
        reveal = ((alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)).clamp(0, 1)[..., None]  # 1 at the largest sigma
        return torch.cat([reveal.log() + guess, torch.log1p(-reveal)], -1)

    def move(self, state: SamplerState, t: Tensor, s: Tensor) -> None:
        method, next_z, confidence = state.model.method, state.z.clone(), state.confidence.clone()
        visible = (state.z != state.mask) & ~state.fixed
        for rows, z, t_rows, prediction in state.predict(t):
            next_z[rows] = state.draw(self.law(method, z, t_rows, s.expand_as(t_rows), prediction))
            guess = method.last_guess(z, t_rows, prediction).double().log_softmax(-1)
            confidence[rows] = pick(guess, next_z[rows].clamp(max=state.mask - 1)).exp()

        shares = self._shares(confidence, visible) if self.confident else 1.0
        remasked = state.rng.uniform(next_z.shape) < shares * self.masks_again(method, t, s)
        state.z, state.confidence = torch.where(visible & remasked, state.mask, next_z), confidence

    def _shares(self, confidence: Tensor, visible: Tensor) -> Tensor:
        """Return the softmax of -p over the visible positions of each sequence [B, L]; 0 if none is visible."""
        return torch.where(visible, -confidence, -torch.inf).softmax(-1).nan_to_num(0.0)


def _schedule(method: Method) -> Schedule:
    assert method.masking is not None
    return method.masking


class SelfCorrect(Policy):
    """Take ancestral steps, then correct the whole text, one token per call (GIDD, arXiv:2503.04482).

    A correction draws every position anew at a low `temperature` and writes, among the tokens that would change, the
    most probable one. It ends when nothing changes, or after `corrections` calls.
    """

    name: Literal["self-correct"] = "self-correct"
    corrections: Annotated[int, Field(ge=1)] = 32
    temperature: Annotated[float, Field(gt=0)] = 0.1
    fidelity = "changed"
    ancestral: ClassVar[Ancestral] = Ancestral()

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        if method.needs.causal or method.needs.vector_width or method.masking is not None:
            return "has no scores for visible tokens"
        z, _, prediction = trial(method)
        totals = prediction[..., : method.vocab_size].exp().sum(-1)
        with on_trial(method):
            scored = method.scored(z)
        if scored is not None or float((totals - 1).abs().max()) > 1e-5:
            return "has no probabilities of visible tokens"
        steps = calls - self.corrections
        if steps < 2:
            return f"leaves {steps} of {calls} calls to the steps; ask for more calls or fewer corrections"
        return self.ancestral.refusal(method, steps, tokens)

    def run(self, state: SamplerState, calls: int) -> None:
        end = self.ancestral.run(state, calls - self.corrections)
        state.z = state.finish(end)
        clean = torch.full_like(end, max(CLEAN, float(times(state.model.method, 2)[-1])))
        for _ in range(self.corrections):
            if not self._correct(state, clean):
                break

    def _correct(self, state: SamplerState, t: Tensor) -> bool:
        """Write one token in each sequence that has one to change; return False if there is none."""
        size = state.model.method.vocab_size
        tokens = state.z.clone()
        probability = torch.zeros(state.z.shape, dtype=torch.float64, device=state.z.device)
        for rows, _, _, prediction in state.predict(t):
            guess = (prediction[..., :size].double() / self.temperature).log_softmax(-1)
            tokens[rows] = state.draw(guess)
            probability[rows] = pick(guess, tokens[rows]).exp()

        probability = torch.where((tokens != state.z) & ~state.fixed, probability, -1.0)
        best = probability.argmax(-1, keepdim=True)
        changes = probability.gather(-1, best) >= 0
        state.z = state.z.scatter(-1, best, torch.where(changes, tokens.gather(-1, best), state.z.gather(-1, best)))
        return bool(changes.any())
