"""What a method can do, found by calling it on a single position."""

import torch
from torch import Tensor

from bench.engine.rng import Stream
from methods.method import LogProbs, Method


def is_masked(method: Method) -> bool:
    """Return True if tokens are hidden behind a mask and visible tokens are final."""
    needs = method.needs
    if needs.causal or needs.vector_width or needs.extra_tokens != 1:
        return False
    scored = method.scored(torch.tensor([[0, method.vocab_size]]))
    return keeps_tokens(method) if scored is None else scored.tolist() == [[False, True]]


def keeps_tokens(method: Method) -> bool:
    """Return True if no step and no last guess changes a visible token, even if the bound charges for it."""
    _, t, _ = trial(method)
    z = torch.zeros(1, dtype=torch.long, device=t.device)
    with torch.no_grad():
        prediction = method.read(torch.zeros(1, method.vocab_size + method.needs.extra_scores, device=t.device), z, t)
        laws = (method.transition(z, t, t / 2, prediction), method.last_guess(z, t, prediction))
    return all(law is not None and abs(float(law[0, 0])) < 1e-9 for law in laws)


def guesses_as_it_steps(method: Method) -> bool:
    """Return True if the last guess has the same distribution over tokens as a step to t = 0."""
    z, t, _ = trial(method)
    with torch.no_grad():
        width = method.vocab_size + method.needs.extra_scores
        prediction = method.read(torch.arange(width, device=t.device)[None] / width, z, t)
        step, guess = method.transition(z, t, torch.zeros_like(t), prediction), method.last_guess(z, t, prediction)
    tokens = None if step is None else step[..., : method.vocab_size].log_softmax(-1)
    return tokens is not None and tokens.shape == guess.shape and torch.allclose(tokens, guess.to(tokens), atol=1e-5)


def has_law(method: Method) -> bool:
    """Return True if the method gives log p(z_s | z_t), from which the harness draws; else it draws steps itself."""
    z, t, prediction = trial(method)
    with torch.no_grad():
        return method.transition(z, t, t / 2, prediction) is not None


def trial(method: Method) -> tuple[Tensor, Tensor, LogProbs]:
    """Return z, t and the prediction from uniform scores at one position."""
    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    with torch.no_grad():
        z = method.prior(torch.zeros(1, 1, dtype=torch.long, device=device), Stream(0, device))[0]
        t = torch.full((1,), 0.5, dtype=torch.float64, device=device)
        scores = torch.zeros(1, method.vocab_size + method.needs.extra_scores, device=device)
        return z, t, method.read(scores, z, t)
