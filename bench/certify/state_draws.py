"""Draws of noise, counted by state, and their chi-square."""

from typing import NamedTuple

import torch
from torch import Tensor

from bench.certify.false_alarms import GoodnessOfFit
from bench.certify.verb_values import LENGTH, count_states, noise_texts
from bench.engine.model.method_with_network import times
from bench.engine.model.positions import at_positions
from bench.engine.rng import Stream
from methods.method import Method, Tokens

PAIRS = ((0, 1), (3, 11), (30, 47))  # positions whose noise must be independent
EXPECTED = 25  # draws in a cell, at least; rarer states share one


class StateDraws(NamedTuple):
    """Draws for n times and tokens, and what `log_noise` says of them, with S states."""

    counts: Tensor  # by position [n, LENGTH, S]
    pairs: Tensor  # by pair of positions [n, PAIRS, S^2]
    law: Tensor  # probabilities [n, LENGTH, S]

    def law_of_pairs(self) -> Tensor:
        """The law of `pairs`, if positions are independent [n, PAIRS, S^2]."""
        first, second = (self.law[:, [pair[i] for pair in PAIRS]] for i in (0, 1))
        return (first[..., None] * second[..., None, :]).flatten(2)


def draw_states(
    method: Method,
    tokens: Tokens,
    uniforms: tuple[float, ...],
    draws: int,
    seed: int,
    pairs: tuple[tuple[int, int], ...] = PAIRS,
) -> StateDraws:
    """Noise texts of one token, for each of the times and tokens as many positions as `draws`."""
    states, texts = count_states(method), draws // LENGTH
    t = times(method, torch.tensor(uniforms, dtype=torch.float64)).repeat_interleave(len(tokens))
    x = tokens.repeat(len(uniforms))
    rng, like = Stream(seed), torch.ones(texts, LENGTH, dtype=torch.long)
    cells = list(zip(x.tolist(), t.tolist(), strict=True))
    z = torch.stack([noise_texts(method, token * like, like[:, 0] * t.new_tensor(time), rng) for token, time in cells])
    z = z.transpose(1, 2)
    assert bool(((z >= 0) & (z < states)).all()), f"corrupt draws ids outside 0..{states - 1}"

    first, second = ([pair[i] for pair in pairs] for i in (0, 1))
    joint = z[:, first] * states + z[:, second]
    law = torch.stack([state_law(method, token, time) for token, time in cells])
    return StateDraws(count_rows(z, states), count_rows(joint, states**2), law)


def state_law(method: Method, token: int, time: float) -> Tensor:
    """q(z | x) of every state at every position, for x all of one token [LENGTH, S]."""
    positions = torch.arange(LENGTH if method.needs.positions else 1)[:, None]
    states = torch.arange(count_states(method)).expand(len(positions), -1)
    with at_positions(method, positions.expand_as(states), LENGTH):
        log_q = method.log_noise(states, torch.full(states.shape, time, dtype=torch.float64))
    return log_q[..., token].double().exp().expand(LENGTH, -1)


def count_rows(values: Tensor, size: int) -> Tensor:
    """How often each of the ids below `size` stands in each row [*P, draws] -> [*P, size]."""
    rows = values.reshape(-1, values.shape[-1])
    offset = torch.arange(len(rows))[:, None] * size
    counts = torch.bincount((rows + offset).flatten(), minlength=len(rows) * size)
    return counts.view(*values.shape[:-1], size)


def chi_square(counts: Tensor, law: Tensor) -> float | None:
    """The p-value of counts under their law [*P, S]; 0 if a state was drawn that cannot be, None if one alone can be.

    States of few expected draws share a cell.
    """
    counts, law = counts.double().view(-1, counts.shape[-1]), law.reshape(-1, law.shape[-1])
    expected = law * counts.sum(-1, keepdim=True)
    if (counts[expected == 0] > 0).any():
        return 0.0
    is_rare, is_common = (expected > 0) & (expected < EXPECTED), expected >= EXPECTED
    drawn, due = (torch.where(is_rare, values, 0.0).sum(-1) for values in (counts, expected))
    is_enough = due >= EXPECTED

    statistic = ((counts - expected) ** 2 / expected)[is_common].sum() + ((drawn - due) ** 2 / due)[is_enough].sum()
    freedom = int((is_common.sum(-1) + is_enough - 1).clamp(min=0).sum())
    return GoodnessOfFit(float(statistic), freedom).p_value if freedom else None
