"""Policies that may take back what they have written: ReMDM for masks, self-correction for noise that holds tokens."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.engine.sample.capabilities import trial
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.policy import Policy, Stepping, times
from bench.engine.sample.policies.unmasking import why_not_masked
from bench.engine.sample.state import Walk
from methods.method import Latent, LogProbs, Method, Times, pick
from methods.schedules import Schedule

CLEAN = 0.01  # the time that a network is told while it corrects a whole text (GIDD)


class Remask(Stepping):
    """ReMDM (arXiv:2503.00307): visible tokens turn back into masks with probability sigma, masked ones are revealed
    with (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t), which leaves q(z_s | x) as it is.

    `rule` gives sigma, at most (1 - alpha_s) / alpha_t: `cap` is at most `eta`, `rescale` the share `eta` of the
    most, `star` 1 - alpha_s: everything is noised afresh (`eta` is not used). With `confident` a visible token's share
    of sigma is the softmax, over all visible ones, of how improbable it was when it was written; masks are revealed as
    if nothing were masked again, so that more of them are left than q(z_s | x) has.
    """

    name: Literal["remask"] = "remask"
    rule: Literal["cap", "rescale", "star"] = "cap"
    eta: Annotated[float, Field(ge=0, le=1)] = 0.02
    confident: bool = False
    fidelity = "changed"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        return why_not_masked(method) or super().refusal(method, calls, tokens)

    def masks_again(self, method: Method, t: Tensor, s: Tensor) -> Tensor:
        """sigma."""
        schedule = _schedule(method)
        most = ((1 - schedule.alpha(s)) / schedule.alpha(t)).clamp(max=1.0)  # at t = 1 nothing is visible
        if self.rule == "star":
            return 1 - schedule.alpha(s)
        return most.clamp(max=self.eta) if self.rule == "cap" else self.eta * most

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        schedule, guess = _schedule(method), method.last_guess(z, t, prediction).double().log_softmax(-1)
        alpha_t, alpha_s = schedule.alpha(t), schedule.alpha(s)
        sigma = torch.zeros_like(t) if self.confident else self.masks_again(method, t, s)
        shown = ((alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)).clamp(0, 1)[..., None]  # 1 where sigma is the most
        return torch.cat([shown.log() + guess, torch.log1p(-shown)], -1)

    def move(self, walk: Walk, t: Tensor, s: Tensor) -> None:
        method, moved, sureness = walk.model.method, walk.z.clone(), walk.sureness.clone()
        visible = (walk.z != walk.mask) & ~walk.fixed
        for rows, z, each, prediction in walk.look(t):
            moved[rows] = walk.draw(self.law(method, z, each, s.expand_as(each), prediction))
            guess = method.last_guess(z, each, prediction).double().log_softmax(-1)
            sureness[rows] = pick(guess, moved[rows].clamp(max=walk.mask - 1)).exp()
        shares = self._shares(sureness, visible) if self.confident else 1.0
        again = walk.rng.uniform(moved.shape) < shares * self.masks_again(method, t, s)
        walk.z, walk.sureness = torch.where(visible & again, walk.mask, moved), sureness

    def _shares(self, sureness: Tensor, visible: Tensor) -> Tensor:
        """Softmax of -p over the visible positions of each sequence [B, L]; 0 where none is visible."""
        return torch.where(visible, -sureness, -torch.inf).softmax(-1).nan_to_num(0.0)


def _schedule(method: Method) -> Schedule:
    assert method.masking is not None
    return method.masking


class SelfCorrect(Policy):
    """Ancestral steps, then corrections of the whole text, one token a call (GIDD, arXiv:2503.04482).

    Every position is drawn again at a low `temperature`; of those that came out otherwise the one that is most
    probable is written. It ends when nothing changes, or after `corrections` calls.
    """

    name: Literal["self-correct"] = "self-correct"
    corrections: Annotated[int, Field(ge=1)] = 32
    temperature: Annotated[float, Field(gt=0)] = 0.1
    fidelity = "changed"
    ancestral: ClassVar[Ancestral] = Ancestral()

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        if method.needs.causal or method.needs.vector_width or method.masking is not None:
            return "has no scores for tokens that are there already"
        z, _, prediction = trial(method)
        if method.scored(z) is not None or abs(float(prediction[..., : method.vocab_size].exp().sum()) - 1) > 1e-5:
            return "has no probabilities of the tokens that are there already"
        left = calls - self.corrections
        if left < 2:
            return f"leaves {left} of {calls} calls to the steps; ask for more calls or fewer corrections"
        return self.ancestral.refusal(method, left, tokens)

    def run(self, walk: Walk, calls: int) -> None:
        end = self.ancestral.run(walk, calls - self.corrections)
        walk.z = walk.finish(end)
        clean = torch.full_like(end, max(CLEAN, float(times(walk.model.method, 2)[-1])))
        for _ in range(self.corrections):
            if not self._correct(walk, clean):
                break

    def _correct(self, walk: Walk, t: Tensor) -> bool:
        """Writes one token in each sequence that would have another; False when there is none."""
        size = walk.model.method.vocab_size
        drawn, chance = walk.z.clone(), torch.zeros(walk.z.shape, dtype=torch.float64, device=walk.z.device)
        for rows, _, _, prediction in walk.look(t):
            guess = (prediction[..., :size].double() / self.temperature).log_softmax(-1)
            drawn[rows] = walk.draw(guess)
            chance[rows] = pick(guess, drawn[rows]).exp()
        chance = torch.where((drawn != walk.z) & ~walk.fixed, chance, -1.0)
        best = chance.argmax(-1, keepdim=True)
        changes = chance.gather(-1, best) >= 0
        walk.z = walk.z.scatter(-1, best, torch.where(changes, drawn.gather(-1, best), walk.z.gather(-1, best)))
        return bool(changes.any())
