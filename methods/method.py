"""The contract that every method implements, and the tensor helpers that methods share.

Shapes: B sequences, L positions, V tokens in the vocabulary (ids 0..V-1; a mask, if any, has id V). P is any leading
shape, such as [B, L] or the packed [N]: a verb documented "at positions P" treats every position on its own. If
`needs.positions`, every verb may read where they stand: `positions` and `sequence_length`.

Time runs from t = 0 (clean text) to t = 1 (noise), and s < t. Costs are in nats. Log-probabilities over "all states"
have one entry for each id that z can hold.

`methods/README.md` has a glossary that maps the verbs below to the terms of the papers.
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

Tokens = Int[Tensor, "*P"]  # clean text x, as token ids
Latent = Shaped[Tensor, "*P"]  # noisy text z: token ids, or vectors [*P D]
Times = Float[Tensor, "*P"]  # float64; one time per sequence in `corrupt`, one per position elsewhere
Scores = Float[Tensor, "*P V"]  # raw network outputs (logits)
LogProbs = Float[Tensor, "*P V"]  # log-probabilities over the last axis
Nats = Float[Tensor, "*P"]  # one cost per position

SETS_POSITIONS = "the harness sets it around each verb; a test does with bench.testing.at_positions"


class Noise(Protocol):
    """The random numbers that a method draws from; the harness sets seed and device."""

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Draw independent uniform numbers in [0, 1), float64."""

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Draw independent standard normal numbers, float64."""


@dataclass(frozen=True)
class Needs:
    """What a method requires of the network and the harness."""

    causal: bool = False  # scores at position i depend on the tokens before i alone
    time: bool = False  # condition the network on `clock(t)`
    extra_tokens: int = 0  # ids beyond the vocabulary that z can hold, such as the mask
    extra_scores: int = 0  # outputs beyond the vocabulary: mass on the mask, coordinates
    vector_width: int = 0  # D if z holds vectors [*P D]; 0 if it holds ids
    self_condition: bool = False  # feed the network the `feedback` of its previous prediction
    steps: int | None = None  # number of steps in discrete time; None: continuous time
    trains_ends: bool = False  # prior and reconstruction loss have gradients: training adds them
    positions: bool = False  # verbs read `positions` and `sequence_length`


@dataclass(frozen=True)
class Place:
    """Where the positions P of a verb stand; set by the harness."""

    positions: Int[Tensor, "*P"] | None  # None: not yet known
    length: int  # of their sequences


@dataclass(frozen=True)
class Neighbour:
    """A registered method whose bound is identical at every position, given equivalent predictions."""

    name: str
    own: Mapping[str, Any] = field(default_factory=dict)  # options of this method for which the identity holds
    theirs: Mapping[str, Any] = field(default_factory=dict)  # options of the other method
    within: float = 1e-9  # relative tolerance; larger than rounding if one is only the limit of the other


class Method(nn.Module, ABC):
    """A forward process, a parameterisation of the network's outputs, and a reverse process.

    A method is pure mathematics: it never calls the network and never loops over time. The harness assembles the bound
    on -log p(x) from three terms, which it also reports separately:

        prior_gap                             prior loss, at t = 1
        integral of `bound` over [t_min, 1]   diffusion loss
        -last_guess at t_min                  reconstruction loss

    In discrete time, t lies on the grid i / steps above t_min, s = t - 1 / steps, and `bound` is `steps` times the cost
    of the step from t to s, so that the same integral becomes the sum over steps.
    """

    paper: ClassVar[str]  # source of the equations, with the version that was read
    needs = Needs()
    exact = False  # True if `bound` is the negative log-likelihood itself
    normalises: ClassVar[bool] = True  # False if `read` leaves scores unnormalised and `bound` charges for their sum
    target: Literal["posterior", "leave-one-out"] = "posterior"  # law that a perfect network predicts
    masking: "Schedule | None" = None  # set if it masks positions i.i.d.: allows the counted estimator
    neighbours: tuple[Neighbour, ...] = ()  # identities that the certificate checks
    widening: tuple[Mapping[str, Any], ...] = ()  # options with ever smaller end losses, for the certificate
    refinement: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None  # coarse and fine steps; None: 8 and 16
    rarest_guess: float = 0.0  # probability below which a token's last guess may be off, as noise hides it at t_min
    vocab_size: int  # V
    t_min = 1e-3  # smallest time that the network sees, where the last guess is made; 0: no last guess
    draws = 1  # noise draws per sequence in a training step
    progress = 1.0  # fraction of training completed, for warm-ups; set by the harness
    score_temperature: float | None = None  # scales the implied noise; set by the harness; None: unsupported
    warp = 1.0  # evaluation draws t = u ** warp on (t_min, 1): above 1, more draws at small times
    place: Place | None = None  # of the verb that is called; set by the harness if `needs.positions`

    @property
    def positions(self) -> Int[Tensor, "*P"]:
        """Index of each position P within its sequence, 0..L-1; [B, L] in verbs of whole sequences.

        Raises RuntimeError outside of a verb, and unless `needs.positions`.
        """
        place = self._known_place("positions")
        if place.positions is None:
            raise RuntimeError(f"{type(self).__name__}.positions is read outside of a verb: {SETS_POSITIONS}")
        return place.positions

    @property
    def sequence_length(self) -> int:
        """The length L of the sequences that the positions P stand in; as `positions`, it is known within verbs alone.

        It is that of a window if a text is longer, and of the whole text while it is written from left to right. It may
        differ from the length of training, and be 1.
        """
        return self._known_place("sequence_length").length

    def _known_place(self, name: str) -> Place:
        if not self.needs.positions:
            raise RuntimeError(f"{type(self).__name__} reads {name}: declare needs = Needs(positions=True, ...)")
        if self.place is None:
            raise RuntimeError(f"{type(self).__name__}.{name} is read outside of a verb: {SETS_POSITIONS}")
        return self.place

    @property
    def guesses_last(self) -> bool:
        """True if the bound has a last guess (reconstruction loss) at t_min."""
        return self.t_min > 0 and self.masking is None

    @abstractmethod
    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """Draw z ~ q(z_t | x), the forward process, for x [B, L] at times t [B]."""

    @abstractmethod
    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The integrand of the diffusion loss at positions P, in nats per unit of time, float64."""

    def addends(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> dict[str, Nats]:
        """Named terms of `bound` at positions P that are worth reporting; they need not sum to the bound.

        The harness weights and reduces each as it does the bound, on the same noise draws.
        """
        return {}

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """Draw z at t = 1 in the shape of `like` [B, L].

        Raises TypeError if the method does not sample by stepping through time.
        """
        raise TypeError(f"{type(self).__name__} has no `prior`: it is not sampled by stepping through time")

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """Parameterisation: log-probabilities of the clean token at positions P from the raw scores."""
        return scores.log_softmax(-1)

    def scored(self, z: Latent) -> Bool[Tensor, "*P"] | None:
        """Positions whose bound or objective can be non-zero; None: all positions.

        The harness computes scores there alone. Elsewhere `bound` must be 0.
        """
        return None

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs | None:
        """Reverse step: log p(z_s | z_t) over all states at positions P; None if `step` draws in another way.

        Rows whose negative entries were clamped to 0 stay unnormalised: the harness counts those that sum to over 1.
        """
        return None

    def step(self, z: Latent, t: Times, s: Times, prediction: LogProbs, rng: Noise) -> Latent:
        """Draw z at the earlier time s from `transition`.

        Raises TypeError if the method has no transition.
        """
        log_p = self.transition(z, t, s, prediction)
        if log_p is None:
            raise TypeError(f"{type(self).__name__} has no `transition` to step by")
        return draw(log_p, rng)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor | None:
        """Reverse jump rates from z to every state, per unit of time [*P, states], 0 to z itself, float64.

        None if the method has no rates, as in discrete time.
        """
        return None

    def flow(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Latent | None:
        """Deterministic reverse step to time s (DDIM); None if the method has none."""
        return None

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """log p(x | z) over the V tokens at positions P, from which the sampler draws the text at t_min."""
        return prediction

    def likeliest(self, prediction: LogProbs) -> Tokens:
        """The token to display at positions P where z itself holds none."""
        return prediction[..., : self.vocab_size].argmax(-1)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """Forward likelihood: log q(z_i | x_i = v) for every token v at positions P [*P, V].

        The certificate computes exact posteriors from it. Raises TypeError if the method does not define it.
        """
        raise TypeError(f"{type(self).__name__} has no `log_noise`: its exact posteriors are unknown")

    def perfect(self, posterior: LogProbs, leave_one_out: LogProbs, z: Latent, t: Times) -> Scores:
        """Raw scores of a perfect network, given log p(x_i | z) and log p(x_i | z without z_i).

        Extra scores get no mass.
        """
        log_p = posterior if self.target == "posterior" else leave_one_out
        return F.pad(log_p, (0, self.needs.extra_scores), value=-torch.inf)

    def prior_gap(self, x: Tokens) -> Nats:
        """Prior loss: KL(q(z_1 | x) || prior) at each position; 0 if no signal is left at t = 1."""
        return torch.zeros(x.shape, dtype=torch.float64, device=x.device)

    def objective(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The training loss at positions P: the bound, unless the paper reweights it."""
        return self.bound(x, z, t, prediction)

    def couple(self, objective: Nats, x: Tokens, z: Latent, t: Times) -> Nats:
        """Add terms that need whole sequences, such as score-function gradients, to the training loss [B, L]."""
        return objective

    def clock(self, t: Times) -> Tensor:
        """Time conditioning: the input that represents t [B]; by default t, at least t_min, as in training."""
        return t.clamp(min=self.t_min)

    def feed(self, z: Latent, t: Times) -> Tensor:
        """Input scaling: the network's input for z [B, L] at times t [B]."""
        return z

    def feedback(self, prediction: LogProbs) -> Tensor:
        """Self-conditioning input from the previous prediction at positions P [*P, vector_width].

        Raises TypeError if the network is not self-conditioned.
        """
        raise TypeError(f"{type(self).__name__} has no feedback: its network is not self-conditioned")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimizer groups of the method's own parameters.

        Each has "params" and may set a peak "learning_rate" and a "weight_decay" that differ from the network's.
        """
        return [{"params": list(self.parameters()), "weight_decay": 0.0}]

    def learned(self) -> dict[str, Tensor]:
        """Learned parameters to report, by name: a number [] or one per token [V]."""
        return {}


def pick(values: LogProbs, x: Tokens) -> Nats:
    """Gather values[p, x[p]] at every position p."""
    return values.gather(-1, x[..., None]).squeeze(-1)


def draw(log_p: LogProbs, rng: Noise) -> Tokens:
    """Draw one state per position by inverting the cumulative distribution in float64.

    Rows need not be normalised. In float32, rare states are lost, which acts like a lower temperature
    (Zheng et al., arXiv:2409.02908).
    """
    log_p = log_p.double()
    cumulative = (log_p - log_p.amax(-1, keepdim=True)).exp().cumsum(-1)
    threshold = rng.uniform(log_p.shape[:-1])[..., None] * cumulative[..., -1:]  # below the total: u is below 1 - 2^-54
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)


def draw_uniform(like: Tokens, vocab_size: int, rng: Noise) -> Tokens:
    """Draw a uniform token at every position of `like`."""
    return (rng.uniform(like.shape) * vocab_size).long().clamp(max=vocab_size - 1)


def point_mass(z: Latent, mask: int) -> LogProbs:
    """One-hot log-probabilities at z over the tokens and the mask, float64."""
    return F.one_hot(z, mask + 1).double().log()


def substitute(log_p: LogProbs, z: Latent, mask: int) -> LogProbs:
    """Keep log_p where z is masked; elsewhere, replace it by a point mass on z."""
    masked = (z == mask)[..., None]
    if masked.all():
        return log_p
    return torch.where(masked, log_p, point_mass(z, mask)[..., : log_p.shape[-1]].to(log_p))
