"""Masked diffusion, written out in full: tokens turn into a mask and stay there. A method of your own starts here.

The contract with all that a method may have is `methods/method.py`. In shapes, B are sequences, L positions, V tokens;
P is any leading shape, since the verbs that speak of P are asked about positions one by one. t = 0 is clean text.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from methods.masked.absorbing import substitute
from methods.method import Latent, LogProbs, Method, Nats, Needs, Neighbour, Noise, Scores, Times, Tokens, pick
from methods.schedules import Linear, Schedule


class Masked(Method):
    """Every position is masked with probability 1 - alpha(t); the network, not told the time, guesses what is there.

    `schedule` is alpha, the share of the text that is left at time t.
    """

    # Who the mathematics is by, where it can be read, and which version of it you read.
    paper = "Your name, year, arXiv:0000.00000"
    # Registered methods that have the same bound for the same scores: the certificate compares them. () where none has.
    neighbours = (Neighbour("mdlm"),)
    # What the network is given: here one id beyond the vocabulary, the mask. Say time=True for one that is told t.
    needs = Needs(extra_tokens=1)

    # An option is an argument with a type and a default; a suite sets it, and wrong values are told before a run.
    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__()
        self.vocab_size = self.mask = vocab_size
        self.schedule = schedule
        # With `masking` the bound is evaluated with exactly k masks. That is right only where all positions are masked
        # alike and independently, and no signal is left at t = 1. Without it t is drawn, and both ends are paid for.
        self.masking = schedule if schedule.reaches_both_ends else None

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """The noise: z [B, L] for the clean x [B, L], each sequence at its own time t [B]."""
        keep = rng.uniform(x.shape) < self.schedule.alpha(t)[:, None]
        return torch.where(keep, x, self.mask)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """The law of `corrupt`, log q(z | x = v) for every token v [*P, V]; the certificate trusts no other."""
        alpha = self.schedule.alpha(t)[..., None]
        same = F.one_hot(z, self.mask + 1)[..., : self.mask]
        return torch.where((z == self.mask)[..., None], 1 - alpha, alpha * same).log()

    def scored(self, z: Latent) -> Bool[Tensor, "*P"]:
        """Where the bound can be above 0; all other positions are left out, which saves memory."""
        return z == self.mask

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """What raw scores [*P, V] mean: log p(x | z) [*P, V], a point mass on what is visible."""
        return substitute(scores.log_softmax(-1), z, self.mask)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The integrand of the bound [*P], nats per unit of time: -alpha' / (1 - alpha) times -log p_x at masks.

        This is what a table reports. Training minimises it too; for another loss, write `objective` beside it.
        """
        return (z == self.mask) * self.schedule.weight(t) * -pick(prediction, x)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """What sampling starts from at t = 1 [B, L]: masks, but for a share alpha(1) of uniform tokens."""
        token = (rng.uniform(like.shape) * self.vocab_size).long().clamp(max=self.vocab_size - 1)
        return torch.where(rng.uniform(like.shape) < self._left(like), token, self.mask)

    def prior_gap(self, x: Tokens) -> Nats:
        """The divergence of q(z | x) at t = 1 from `prior` [B, L]: alpha(1) log V, 0 where no signal is left."""
        return self._left(x) * math.log(self.vocab_size)

    def _left(self, like: Tokens) -> Nats:
        """alpha(1) at each position; the clamp takes away a rounding below 0."""
        return self.schedule.alpha(torch.ones_like(like, dtype=torch.float64)).clamp(min=0)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """A step back from t to s < t, log p(z_s | z_t) over V tokens and the mask [*P, V + 1].

        A mask turns into token v with probability (alpha_s - alpha_t) p_v / (1 - alpha_t) and stays otherwise.
        """
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.alpha(s)[..., None]
        reveal = (alpha_s - alpha_t) * prediction.double().exp()
        mass = torch.cat([reveal, (1 - alpha_s).expand(*reveal.shape[:-1], 1)], -1)
        return substitute((mass / mass.sum(-1, keepdim=True)).log(), z, self.mask)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """The step for ever smaller t - s: how fast z jumps to each state [*P, V + 1], 0 to z itself."""
        reveal = self.schedule.weight(t)[..., None] * prediction.double().exp()
        return F.pad(torch.where((z == self.mask)[..., None], reveal, 0.0), (0, 1))
