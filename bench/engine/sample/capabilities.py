"""What a method can do, found by asking it."""

import torch
from torch import Tensor

from bench.engine.rng import Stream
from methods.method import LogProbs, Method


def is_masked(method: Method) -> bool:
    """Whether tokens are hidden behind a mask, and whatever is visible is final."""
    needs = method.needs
    if needs.causal or needs.vector_width or needs.extra_tokens != 1:
        return False
    scored = method.scored(torch.tensor([[0, method.vocab_size]]))
    return keeps_tokens(method) if scored is None else scored.tolist() == [[False, True]]


def keeps_tokens(method: Method) -> bool:
    """Whether a visible token stays as it is in any step and in the last guess, though it may cost something."""
    _, t, _ = trial(method)
    z = torch.zeros(1, dtype=torch.long, device=t.device)
    with torch.no_grad():
        prediction = method.read(torch.zeros(1, method.vocab_size + method.needs.extra_scores, device=t.device), z, t)
        laws = (method.transition(z, t, t / 2, prediction), method.last_guess(z, t, prediction))
    return all(law is not None and abs(float(law[0, 0])) < 1e-9 for law in laws)


def guesses_as_it_steps(method: Method) -> bool:
    """Whether the last guess writes tokens by the law of a step to t = 0."""
    z, t, _ = trial(method)
    with torch.no_grad():
        width = method.vocab_size + method.needs.extra_scores
        prediction = method.read(torch.arange(width, device=t.device)[None] / width, z, t)
        step, guess = method.transition(z, t, torch.zeros_like(t), prediction), method.last_guess(z, t, prediction)
    tokens = None if step is None else step[..., : method.vocab_size].log_softmax(-1)
    return tokens is not None and tokens.shape == guess.shape and torch.allclose(tokens, guess.to(tokens), atol=1e-5)


def has_law(method: Method) -> bool:
    """Whether the harness draws the method's steps, by the law that it gives; else it draws them by itself."""
    z, t, prediction = trial(method)
    with torch.no_grad():
        return method.transition(z, t, t / 2, prediction) is not None


def trial(method: Method) -> tuple[Tensor, Tensor, LogProbs]:
    """z, t and the prediction of even scores at one position, to ask a method what it can do."""
    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    with torch.no_grad():
        z = method.prior(torch.zeros(1, 1, dtype=torch.long, device=device), Stream(0, device))[0]
        t = torch.full((1,), 0.5, dtype=torch.float64, device=device)
        scores = torch.zeros(1, method.vocab_size + method.needs.extra_scores, device=device)
        return z, t, method.read(scores, z, t)
