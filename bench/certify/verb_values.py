"""What the verbs of a method return for rows of given numbers, so that two ways of asking can be compared.

A row is one position: a token, its noisy state, two times and raw scores. A verb "at positions P" must give each row
the value that it has alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.engine.model.method_with_network import times
from bench.engine.model.positions import at_positions, in_sequences
from methods.method import Latent, LogProbs, Method, Noise, Scores, Times, Tokens

ROUNDING = 1e-6  # relative; float64 stays far below, a verb that computes in float32 (2^-24) just below
SCORE_SPREAD = 2.0  # of random scores, in nats
LENGTH = 48  # of the sequences that rows stand in
KEYS = 64  # distinct rows of random numbers

Values = dict[str, Tensor]  # by the name of the verb


@dataclass(frozen=True)
class Rows:
    """Inputs of verbs at positions P of sequences of LENGTH; `s` is earlier than `t`."""

    x: Tokens
    z: Latent
    t: Times
    s: Times
    scores: Scores
    key: Tensor  # of the random numbers of each row
    position: Tensor

    def take(self, index: Tensor) -> "Rows":
        """The rows at an index of any shape, which becomes P."""
        columns = (self.x, self.z, self.t, self.s, self.scores, self.key, self.position)
        return Rows(*(values[index] for values in columns))


class KeyedRows:
    """Random numbers of which each row depends on its key alone, so that rows can be asked for alone or together."""

    def __init__(self, key: Tensor, seed: int = 0):
        self.key, self.generator = key, torch.Generator().manual_seed(seed)

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Uniform numbers in [0, 1), float64."""
        return self._select(torch.rand, shape)

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Standard normal numbers, float64."""
        return self._select(torch.randn, shape)

    def _select(self, generate: Callable[..., Tensor], shape: torch.Size | tuple[int, ...]) -> Tensor:
        table = generate((KEYS, *shape[1:]), generator=self.generator, dtype=torch.float64)
        return table[self.key]


def draw_rows(method: Method, count: int, seed: int = 0, spread: float = SCORE_SPREAD) -> Rows:
    """Random tokens with their noise, at times from `t_min` to 1, and random scores, float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(method.vocab_size, (count, LENGTH), generator=generator)
    u = torch.rand(count, generator=generator, dtype=torch.float64) * 0.96 + 0.02
    t, key, row = times(method, u), torch.arange(count) % KEYS, torch.arange(count)
    position = row * 7 % LENGTH
    z = noise_texts(method, x, t, KeyedRows(key, seed))[row, position].detach()
    width = method.vocab_size + method.needs.extra_scores
    scores = spread * torch.randn(count, width, generator=generator, dtype=torch.float64)
    return Rows(x[row, position], z, t, earlier(method, t), scores, key, position)


def noise_texts(method: Method, x: Tokens, t: Times, rng: Noise) -> Latent:
    """Draw z for texts x [B, L] at times t [B]."""
    with in_sequences(method, x):
        return method.corrupt(x, t, rng)


def earlier(method: Method, t: Times) -> Times:
    """A time about half way from t to `t_min`, on the grid in discrete time."""
    middle = (t + method.t_min) / 2
    steps = method.needs.steps
    return middle if steps is None else (middle * steps + 1e-6).floor() / steps


def has_law(method: Method) -> bool:
    """Whether the method tells the law of its noise."""
    return type(method).log_noise is not Method.log_noise


def count_states(method: Method) -> int:
    """The number of ids that z can hold."""
    return method.vocab_size + method.needs.extra_tokens


def evaluate(method: Method, rows: Rows) -> Values:
    """The values of all verbs at positions P that draw nothing."""
    with at_positions(method, rows.position, LENGTH):
        return _evaluate(method, rows)


def _evaluate(method: Method, rows: Rows) -> Values:
    x, z, t, s = rows.x, rows.z, rows.t, rows.s
    prediction = method.read(rows.scores, z, t)
    optional = {
        "transition": method.transition(z, t, s, prediction),
        "rates": method.rates(z, t, prediction),
        "flow": method.flow(z, t, s, prediction),
        "log_noise": method.log_noise(z, t) if has_law(method) else None,
        "feedback": method.feedback(prediction) if method.needs.self_condition else None,
        "scored": method.scored(z),
    }
    return {
        "read": prediction,
        "bound": method.bound(x, z, t, prediction),
        **{f"addends[{name}]": nats for name, nats in method.addends(x, z, t, prediction).items()},
        "objective": method.objective(x, z, t, prediction),
        "last_guess": method.last_guess(z, t, prediction),
        "prior_gap": method.prior_gap(x.view(-1, x.shape[-1])).view(x.shape),
        "likeliest": method.likeliest(prediction),
        **{name: value for name, value in optional.items() if value is not None},
    }


def evaluate_step(method: Method, rows: Rows, prediction: LogProbs) -> Latent | None:
    """The reverse step of rows [N] with the random numbers of their keys; None if the method has none."""
    steps_itself = type(method).step is not Method.step
    with at_positions(method, rows.position, LENGTH):
        if not steps_itself and method.transition(rows.z, rows.t, rows.s, prediction) is None:
            return None
        return method.step(rows.z, rows.t, rows.s, prediction, KeyedRows(rows.key))


def evaluate_packed(method: Method, rows: Rows) -> Values:
    """The values of all verbs at packed positions [N], the random ones among them."""
    values = evaluate(method, rows)
    step = evaluate_step(method, rows, values["read"])
    return values if step is None else {**values, "step": step}


def evaluate_sequences(method: Method, x: Tokens, z: Latent, t: Times, key: Tensor) -> Values:
    """The values of the verbs that take whole sequences [B, L], and of `prior_gap`."""
    with in_sequences(method, x):
        return _evaluate_sequences(method, x, z, t, key)


def _evaluate_sequences(method: Method, x: Tokens, z: Latent, t: Times, key: Tensor) -> Values:
    values: Values = {
        "corrupt": method.corrupt(x, t, KeyedRows(key)),
        "feed": method.feed(z, t),
        "prior_gap": method.prior_gap(x),
    }
    if method.needs.time:
        values["clock"] = method.clock(t)
    if not method.needs.causal and type(method).prior is not Method.prior:
        values["prior"] = method.prior(x, KeyedRows(key))
    scored = method.scored(z)
    return values if scored is None else {**values, "scored": scored}


def find_difference(values: Values, others: Values) -> tuple[float, str]:
    """The largest relative difference of two evaluations, and the verb that it is of."""
    if values.keys() != others.keys():
        return float("inf"), ", ".join(sorted(values.keys() ^ others.keys()))
    differences = {name: difference(value, others[name]) for name, value in values.items()}
    name = max(differences, key=lambda name: differences[name])
    return differences[name], name


def difference(value: Tensor, reference: Tensor) -> float:
    """The largest of |a - b| / (1 + |b|); 0 where both are infinite alike or both undefined."""
    if value.shape != reference.shape:
        return float("inf")
    first, second = value.detach().double(), reference.detach().double()
    same = (first == second) | (first.isnan() & second.isnan())
    relative = (first - second).abs() / (1 + second.abs())
    relative = torch.where(same, 0.0, relative).nan_to_num(nan=float("inf"))
    return float(relative.max()) if relative.numel() else 0.0


def cut(values: Values, index: Tensor) -> Values:
    """The values at an index of rows."""
    return {name: value[index] for name, value in values.items()}


def stack(evaluations: list[Values]) -> Values:
    """The values of rows that were asked for one by one."""
    return {name: torch.cat([values[name] for values in evaluations]) for name in evaluations[0]}
