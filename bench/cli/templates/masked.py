"""Masked diffusion, written out in full: a token turns into a mask and stays masked. Start your own method here.

The contract, with every verb that a method can have, is `methods/method.py`. Shapes: B sequences, L positions,
V tokens; P is any leading shape, since the verbs that use it treat every position on its own. Time runs from t = 0
(clean text) to t = 1 (noise).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from methods.method import (
    Latent,
    LogProbs,
    Method,
    Nats,
    Needs,
    Neighbour,
    Noise,
    Scores,
    Times,
    Tokens,
    draw_uniform,
    pick,
    substitute,
)
from methods.schedules import Linear, Schedule


class Masked(Method):
    """Each position is masked with probability 1 - alpha(t); the network predicts the token without knowing the time.

    `schedule` is alpha, the signal level at time t.
    """

    # Who published the mathematics, where it can be read, and which version you read.
    paper = "Your name, year, arXiv:0000.00000"
    # Registered methods with the same bound, given equal predictions; the certificate compares them. Leave () if none.
    neighbours = (Neighbour("mdlm"),)
    # What the method requires: here one id beyond the vocabulary, the mask. Add time=True for time conditioning, and
    # positions=True if verbs depend on where a token stands (`self.positions`, `self.sequence_length`).
    needs = Needs(extra_tokens=1)

    # Options are arguments with a type and a default. A suite sets them, and values are checked before a run starts.
    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__()
        self.vocab_size = self.mask = vocab_size
        self.schedule = schedule
        # `masking` lets the bound be evaluated with exact mask counts. That is valid only if all positions are masked
        # independently by one schedule that runs from 1 to 0. Otherwise t is drawn, and both ends enter the bound.
        self.masking = schedule if schedule.reaches_both_ends else None

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """The forward process: draw z [B, L] for clean tokens x [B, L] at times t [B], one per sequence."""
        visible = rng.uniform(x.shape) < self.schedule.alpha(t)[:, None]
        return torch.where(visible, x, self.mask)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """The law of `corrupt`: log q(z | x = v) for every token v [*P, V]. The certificate's oracles rely on it."""
        alpha = self.schedule.alpha(t)[..., None]
        same = F.one_hot(z, self.mask + 1)[..., : self.mask]
        return torch.where((z == self.mask)[..., None], 1 - alpha, alpha * same).log()

    def scored(self, z: Latent) -> Bool[Tensor, "*P"]:
        """Positions whose bound can be non-zero. The network's head skips all others, which saves memory."""
        return z == self.mask

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """The parameterisation: log p(x | z) [*P, V] from raw scores [*P, V]; a point mass at visible positions."""
        return substitute(scores.log_softmax(-1), z, self.mask)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The integrand of the diffusion loss [*P] in nats per unit of time: -alpha' / (1 - alpha) log p_x at masks.

        Tables report this bound, and training minimises it. To train on another loss, define `objective` as well.
        """
        return (z == self.mask) * self.schedule.weight(t) * -pick(prediction, x)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """The start of sampling at t = 1 [B, L]: masks, and uniform tokens at a fraction alpha(1) of the positions."""
        token = draw_uniform(like, self.vocab_size, rng)
        return torch.where(rng.uniform(like.shape) < self.schedule.signal_at_end(like), token, self.mask)

    def prior_gap(self, x: Tokens) -> Nats:
        """The prior loss KL(q(z_1 | x) || prior) [B, L]: alpha(1) log V, 0 if no signal is left."""
        return self.schedule.signal_at_end(x) * math.log(self.vocab_size)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """The reverse step from t to s < t: log p(z_s | z_t) over V tokens and the mask [*P, V + 1].

        A mask turns into token v with probability (alpha_s - alpha_t) p_v / (1 - alpha_t); otherwise it stays.
        """
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.alpha(s)[..., None]
        reveal = (alpha_s - alpha_t) * prediction.double().exp()
        mass = torch.cat([reveal, (1 - alpha_s).expand(*reveal.shape[:-1], 1)], -1)
        return substitute((mass / mass.sum(-1, keepdim=True)).log(), z, self.mask)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """The reverse step in the limit s -> t: jump rates from z to every state [*P, V + 1], 0 to z itself."""
        reveal = self.schedule.weight(t)[..., None] * prediction.double().exp()
        return F.pad(torch.where((z == self.mask)[..., None], reveal, 0.0), (0, 1))
