"""The contract that every family of text models fulfils, and the few tensor words it is written in.

Letters in shapes: B sequences, L positions, V tokens that can be predicted (ids 0..V-1; a mask, if any, is id V).
P stands for any leading shape, [B, L] or the packed [N]: verbs that speak of P work on positions one by one.
Time runs from t = 0 (clean text) to t = 1 (noise); s < t. Costs are nats. Log-probabilities of "all states" have
one entry for each id that z may hold.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

if TYPE_CHECKING:
    from methods.schedules import Schedule

Tokens = Int[Tensor, "*P"]  # clean text x
Latent = Shaped[Tensor, "*P"]  # noisy text z: token ids, or vectors [*P D]
Times = Float[Tensor, "*P"]  # float64; one time a sequence in `corrupt`, one a position elsewhere
Scores = Float[Tensor, "*P V"]  # raw network output
LogProbs = Float[Tensor, "*P V"]  # log-probabilities over the last axis
Nats = Float[Tensor, "*P"]  # a cost for each position


class Noise(Protocol):
    """Where a method's randomness comes from; the harness decides its seed and its device."""

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Independent uniform numbers in [0, 1), float64."""

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers, float64."""


@dataclass(frozen=True)
class Needs:
    """What a method asks of the harness."""

    causal: bool = False  # scores at position i depend only on tokens before i
    time: bool = False  # the network is told `clock(t)`
    extra_tokens: int = 0  # ids beyond the vocabulary that z may hold, such as the mask
    extra_scores: int = 0  # scores beyond the vocabulary, such as mass left on the mask, or coordinates
    vector_width: int = 0  # D where z holds vectors; 0 where it holds ids
    self_condition: bool = False  # the network is shown the `feedback` of its previous guess
    steps: int | None = None  # discrete time with this many steps; None is continuous time
    trains_ends: bool = False  # the two ends of the bound carry gradients: training adds them


@dataclass(frozen=True)
class Neighbour:
    """Another registered method that, knowing the same, has the same bound at every position."""

    name: str
    own: Mapping[str, Any] = field(default_factory=dict)  # options of this method under which it holds
    theirs: Mapping[str, Any] = field(default_factory=dict)  # options of the other one
    within: float = 1e-9  # relative; above roundings where one is the limit of the other


class Method(nn.Module, ABC):
    """One way to noise text, to read a network's scores, and to undo the noise.

    A method is pure mathematics: it never calls the network and never loops over time. The bound of a sequence is
    `prior_gap + integral of bound over [t_min, 1] + (minus the last guess at t_min)`, its three parts kept apart.
    With discrete time t lies on the grid i / steps above t_min, s = t - 1 / steps, and `bound` is `steps` times the
    cost of the step from t to s, so that the same integral becomes a sum.
    """

    paper: ClassVar[str]  # where the mathematics comes from, with the version read
    needs = Needs()
    exact = False  # True: `bound` is the negative log-likelihood itself, not a bound on it
    target: Literal["posterior", "leave-one-out"] = "posterior"  # what perfect scores are made from
    masking: "Schedule | None" = None  # the schedule by which every position is masked alike, when exact counting holds
    neighbours: tuple[Neighbour, ...] = ()  # identities with other registered methods, for the certificate
    widening: tuple[Mapping[str, Any], ...] = ()  # options by which the ends give away less each time, likewise
    vocab_size: int  # V
    t_min = 1e-3  # the smallest time the network sees; what is left there is the last guess; 0: nothing is left
    draws = 1  # noisings of each sequence in training
    progress = 1.0  # the share of training that is done, for warm-ups; the harness sets it
    score_temperature: float | None = None  # of the noise that a guess implies; the harness sets it; None: has none
    warp = 1.0  # evaluation draws t = u ** warp on (t_min, 1): above 1 it looks closer at small times

    @property
    def guesses_last(self) -> bool:
        """Whether something is left to guess at t_min, so that the bound has a last guess."""
        return self.t_min > 0 and self.masking is None

    @abstractmethod
    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """z ~ q(z | x) for x [B, L] at times t [B]."""

    @abstractmethod
    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The integrand of the bound at positions P, in nats per unit of time, float64."""

    def addends(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> dict[str, Nats]:
        """Parts of `bound` at positions P that say something by themselves, by name; they need not sum to all of it.

        The harness weighs and reduces each as it does the bound, on the same draws.
        """
        return {}

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """z at t = 1, as many sequences and positions as `like` [B, L] has."""
        raise TypeError(f"{type(self).__name__} has no `prior`: it is not sampled by stepping through time")

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """What the network's raw scores mean: log-probabilities of the clean token at positions P."""
        return scores.log_softmax(-1)

    def scored(self, z: Latent) -> Bool[Tensor, "*P"] | None:
        """The positions whose bound or objective can be non-zero; None: all of them.

        The harness computes no other; if it did, `bound` would have to be 0 there."""
        return None

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs | None:
        """log p(z_s | z_t) over all states at positions P; None where the method steps in another way.

        A row that had to be cut off at 0 is not normalised again: it sums to more than 1, by which it is counted.
        """
        return None

    def step(self, z: Latent, t: Times, s: Times, prediction: LogProbs, rng: Noise) -> Latent:
        """z at the earlier time s, drawn from `transition`.

        Raises TypeError where the method has no transition.
        """
        log_p = self.transition(z, t, s, prediction)
        if log_p is None:
            raise TypeError(f"{type(self).__name__} has no `transition` to step by")
        return draw(log_p, rng)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor | None:
        """How fast z jumps to every state on the way back, per unit of time [*P, states], 0 to z itself, float64.

        None where the method has no rates, as in discrete time.
        """
        return None

    def flow(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Latent | None:
        """z at the earlier time s without any randomness; None where the method has no such step."""
        return None

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """log p(x | z) over the V tokens at positions P: what the sampler writes when the clock reaches t_min."""
        return prediction

    def likeliest(self, prediction: LogProbs) -> Tokens:
        """The token at positions P that is shown of a call's prediction where z itself holds none."""
        return prediction[..., : self.vocab_size].argmax(-1)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """log q(z_i | x_i = v) for every token v at positions P [*P, V]: what exact posteriors are made from."""
        raise TypeError(f"{type(self).__name__} has no `log_noise`: its exact posteriors are unknown")

    def perfect(self, whole: LogProbs, others: LogProbs, z: Latent, t: Times) -> Scores:
        """The raw scores of a perfect network, from log p(x_i | z) and log p(x_i | z without z_i).

        No mass lies on extra scores.
        """
        log_p = whole if self.target == "posterior" else others
        return F.pad(log_p, (0, self.needs.extra_scores), value=-torch.inf)

    def prior_gap(self, x: Tokens) -> Nats:
        """KL(q(z | x) || prior) at t = 1 for each position; zero when no signal survives."""
        return torch.zeros(x.shape, dtype=torch.float64, device=x.device)

    def objective(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """What training minimises at positions P; the bound itself unless the paper reweights it."""
        return self.bound(x, z, t, prediction)

    def couple(self, objective: Nats, x: Tokens, z: Latent, t: Times) -> Nats:
        """The training objective [B, L] with terms that need whole sequences, such as score-function gradients."""
        return objective

    def clock(self, t: Times) -> Tensor:
        """What the network is told instead of t [B]; never a time below t_min, at which it was not trained."""
        return t.clamp(min=self.t_min)

    def feed(self, z: Latent, t: Times) -> Tensor:
        """What the network is shown instead of z [B, L] at times t [B]."""
        return z

    def feedback(self, prediction: LogProbs) -> Tensor:
        """What a self-conditioned network is shown of its guess at positions P [*P, vector_width]."""
        raise TypeError(f"{type(self).__name__} has no feedback: its network is not self-conditioned")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The method's own parameters for the optimizer: lists of "params", each with the "learning_rate" at its peak
        and the "weight_decay" where they differ from the network's."""
        return [{"params": list(self.parameters()), "weight_decay": 0.0}]

    def learned(self) -> dict[str, Tensor]:
        """What training taught the method itself, to be shown: a number [], or one for each token [V], by name."""
        return {}


def pick(values: LogProbs, x: Tokens) -> Nats:
    """values[p, x[p]] at every position p."""
    return values.gather(-1, x[..., None]).squeeze(-1)


def draw(log_p: LogProbs, rng: Noise) -> Tokens:
    """One state a position, by the inverse of the cumulative distribution in float64.

    Rows need not be normalised. Float64 matters: float32 draws lose the rare states and act like a lower temperature
    (Zheng et al., arXiv:2409.02908).
    """
    log_p = log_p.double()
    cumulative = (log_p - log_p.amax(-1, keepdim=True)).exp().cumsum(-1)
    threshold = rng.uniform(log_p.shape[:-1])[..., None] * cumulative[..., -1:]  # below the total: u is below 1 - 2^-54
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
