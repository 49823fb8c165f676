"""Exact laws of policies whose choices depend on draws, by enumerating all draws.

The rules are implemented a second time here, for one text and as in the papers, as a reference for the batched policies
of `bench.engine.sample.policies`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, product

import torch
from torch import Tensor

from bench.engine.model.method_with_network import Model
from bench.engine.model.positions import at_positions
from bench.engine.sample.policies import Policy, times
from bench.engine.sample.policies.remasking import CLEAN, Remask, SelfCorrect
from bench.engine.sample.policies.unmasking import Confidence, EntropyBounded, Margin
from methods.schedules import Schedule

Text = tuple[int, ...]
Law = dict[Text, float]
Choice = Callable[[int, list[int], Tensor, dict[int, int]], Iterable[int]]  # call, masks, guesses, draws -> written
Clock = Callable[[int, float], float]  # call, share of masks -> what the network is told
Outcomes = Sequence[tuple[int, float, float]]  # of one position: token, how sure it is, and with what probability


def depends_on_draws(policy: Policy) -> bool:
    """Whether the policy chooses by draws or predictions, so that positions do not move independently."""
    kinds = (Confidence, Margin, EntropyBounded, SelfCorrect)
    return isinstance(policy, kinds) or (isinstance(policy, Remask) and policy.confident)


def enumerate_law(model: Model, policy: Policy, length: int, calls: int, before: Tensor | None = None) -> Tensor:
    """The law of texts of `length` tokens after `calls` network calls [V^L].

    Self-correction starts from `before`, the law of texts after its ordinary steps.
    """
    if isinstance(policy, SelfCorrect):
        assert before is not None, "corrections need a law of texts to start from"
        return self_correction_law(model, policy, length, before)
    if isinstance(policy, Remask):
        return confident_remasking_law(model, policy, length, calls)
    if isinstance(policy, EntropyBounded):
        return entropy_bounded_law(model, policy.budget, length, calls)
    assert isinstance(policy, Confidence | Margin), f"{policy.name} does not choose what it writes"
    return ranked_law(model, policy, length, calls)


def ranked_law(model: Model, policy: Confidence | Margin, length: int, calls: int) -> Tensor:
    """Write the most confident masked positions, as many as the schedule reveals on average."""
    grid, schedule = times(model.method, calls, policy.grid), find_schedule(model)
    keep = [round(length * (1 - float(schedule.alpha(s)))) for s in grid[1:]]

    def choose(call: int, masked: list[int], guess: Tensor, draws: dict[int, int]) -> list[int]:
        p = guess.exp()
        if isinstance(policy, Margin):
            sure = {i: float(p[i].sort().values.diff()[-1]) for i in masked}
        else:
            sure = {i: float(p[i, draws[i]]) for i in masked}
        return sorted(masked, key=lambda i: -sure[i])[: max(0, len(masked) - keep[call])]

    return unmasking_law(model, length, calls, choose, lambda call, _: float(grid[call]))


def entropy_bounded_law(model: Model, budget: float, length: int, calls: int) -> Tensor:
    """Write as many positions by rising entropy as keep the sum without the largest within the budget."""
    schedule = find_schedule(model)

    def choose(call: int, masked: list[int], guess: Tensor, draws: dict[int, int]) -> list[int]:
        entropy = {i: -float((guess[i].exp() * guess[i]).sum()) for i in masked}
        order = sorted(masked, key=lambda i: entropy[i])
        sizes = [k for k in range(1, len(order) + 1) if sum(entropy[i] for i in order[: k - 1]) <= budget]
        return order[: max(sizes)]

    def clock(call: int, share: float) -> float:
        return float(schedule.inverse(torch.tensor([1 - share], dtype=torch.float64)))

    return unmasking_law(model, length, calls, choose, clock)


def unmasking_law(model: Model, length: int, calls: int, choose: Choice, clock: Clock) -> Tensor:
    """Draw all masked positions in each call and keep those that `choose` returns; the last call keeps all."""
    size = model.vocab_size
    law: Law = {(size,) * length: 1.0}
    for call in range(calls):
        after: Law = {}
        for z, chance in law.items():
            masked = [i for i in range(length) if z[i] == size]
            guess = masked_log_p(model, z, clock(call, len(masked) / length)) if masked else torch.empty(0)
            for tokens in product(range(size), repeat=len(masked)):
                draws = dict(zip(masked, tokens, strict=True))
                weight = math.exp(sum(float(guess[i, v]) for i, v in draws.items()))
                chosen = set(masked if call == calls - 1 else choose(call, masked, guess, draws) if masked else [])
                add_probability(after, tuple(draws[i] if i in chosen else z[i] for i in range(length)), chance * weight)
        law = after
    return to_tensor(law, size, length)


def confident_remasking_law(model: Model, policy: Remask, length: int, calls: int) -> Tensor:
    """Remask by confidence: a state is z and the probability of each token when it was written."""
    size, schedule = model.vocab_size, find_schedule(model)
    states = {((size,) * length, (1.0,) * length): 1.0}
    grid = times(model.method, calls, policy.grid)
    for t, s in pairwise(grid):
        most, after = float(policy.masks_again(model.method, t, s)), dict[tuple[Text, tuple[float, ...]], float]()
        alpha_t, alpha_s = float(schedule.alpha(t)), float(schedule.alpha(s))
        for (z, sure), chance in states.items():
            guess = masked_log_p(model, z, float(t)).exp()
            again = torch.tensor([-math.inf if token == size else -p for token, p in zip(z, sure, strict=True)])
            shares = most * again.double().softmax(0).nan_to_num(0.0)
            ends = [
                _outcomes(z[i], sure[i], guess[i], float(shares[i]), (alpha_s - alpha_t) / (1 - alpha_t), size)
                for i in range(length)
            ]
            for end in product(*ends):
                key = tuple(token for token, _, _ in end), tuple(sureness for _, sureness, _ in end)
                after[key] = after.get(key, 0.0) + chance * math.prod(p for _, _, p in end)
        states = after
    law: Law = {}
    for (z, _), chance in states.items():
        guess = masked_log_p(model, z, float(grid[-1])).exp()
        last = [_outcomes(z[i], 1.0, guess[i], 0.0, 1.0, size) for i in range(length)]
        for end in product(*last):
            add_probability(law, tuple(token for token, _, _ in end), chance * math.prod(p for _, _, p in end))
    return to_tensor(law, size, length)


def _outcomes(token: int, sure: float, guess: Tensor, again: float, reveal: float, mask: int) -> Outcomes:
    """The outcomes of one position: a token stays or is remasked, a mask is revealed or stays."""
    if token != mask:
        return [(token, sure, 1 - again), (mask, 1.0, again)]
    return [*((v, float(p), reveal * float(p)) for v, p in enumerate(guess)), (mask, 1.0, 1 - reveal)]


def self_correction_law(model: Model, policy: SelfCorrect, length: int, before: Tensor) -> Tensor:
    """Draw every position again, and write the most probable one among those that changed."""
    size = model.vocab_size
    clean = max(CLEAN, float(times(model.method, 2)[-1]))
    law: Law = dict(zip(product(range(size), repeat=length), before.tolist(), strict=True))
    moves = {z: _corrections(predicted_log_p(model, z, clean) / policy.temperature, z) for z in law}
    for _ in range(policy.corrections):
        after: Law = {}
        for z, chance in law.items():
            for text, share in moves[z].items():
                add_probability(after, text, chance * share)
        law = after
    return to_tensor(law, size, length)


def _corrections(scores: Tensor, z: Text) -> Law:
    """The law of the text after one correction of z, drawn from the scores [L, V]."""
    p, law = scores.softmax(-1), Law()
    for tokens in product(range(scores.shape[-1]), repeat=len(z)):
        others = [i for i in range(len(z)) if tokens[i] != z[i]]
        best = max(others, key=lambda i: float(p[i, tokens[i]]), default=-1)
        text = tuple(tokens[i] if i == best else z[i] for i in range(len(z)))
        add_probability(law, text, math.prod(float(p[i, v]) for i, v in enumerate(tokens)))
    return law


def masked_log_p(model: Model, z: Text, t: float) -> Tensor:
    """log p of tokens at the masked positions of z [L, V]; 0 elsewhere."""
    log_p = torch.zeros(len(z), model.vocab_size, dtype=torch.float64)
    for rows, ids, t_rows, prediction in _evaluate(model, z, t):
        log_p[rows] = model.method.last_guess(ids, t_rows, prediction).double().log_softmax(-1)
    return log_p


def predicted_log_p(model: Model, z: Text, t: float) -> Tensor:
    """The network's predictions at every position of z [L, V]."""
    log_p = torch.zeros(len(z), model.vocab_size, dtype=torch.float64)
    for rows, _, _, prediction in _evaluate(model, z, t):
        log_p[rows] = prediction[..., : model.vocab_size].double()
    return log_p


@torch.no_grad()
def _evaluate(model: Model, z: Text, t: float) -> Iterable[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield scored positions with z, t and the prediction there."""
    ids, t_texts = torch.tensor([z]), torch.full((1,), t, dtype=torch.float64)
    hidden = model.hidden(ids, t_texts)
    for rows in model.chunks(ids):
        prediction = model.predict(hidden, ids, t_texts, rows)
        with at_positions(model.method, rows[1], len(z)):
            yield rows[1], ids[rows], t_texts[rows[0]], prediction


def find_schedule(model: Model) -> Schedule:
    """The masking schedule that all positions share."""
    assert model.method.masking is not None, f"{type(model.method).__name__} does not mask along a schedule"
    return model.method.masking


def add_probability(law: Law, text: Text, chance: float) -> None:
    """Add probability to a text."""
    law[text] = law.get(text, 0.0) + chance


def to_tensor(law: Law, size: int, length: int) -> Tensor:
    """The probability of every text in lexicographic order [V^L]."""
    return torch.tensor([law.get(text, 0.0) for text in product(range(size), repeat=length)], dtype=torch.float64)
