"""What a method can do, found by calling it on a single position; on several, if it knows where they stand."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from methods.method import LogProbs, Method

TRIAL_LENGTH = 8  # positions at which a method that knows them is tried; to others all are alike


def is_masked(method: Method) -> bool:
    """Return True if tokens are hidden behind a mask and visible tokens are final."""
    needs = method.needs
    if needs.causal or needs.vector_width or needs.extra_tokens != 1:
        return False
    z = torch.tensor([[0], [method.vocab_size]]).expand(2, trial_length(method))
    with in_sequences(method, z):
        scored = method.scored(z)
    return keeps_tokens(method) if scored is None else bool((scored == (z == method.vocab_size)).all())


def keeps_tokens(method: Method) -> bool:
    """Return True if no step and no last guess changes a visible token, even if the bound charges for it."""
    _, t, _ = trial(method)
    z = torch.zeros(len(t), dtype=torch.long, device=t.device)
    with torch.no_grad(), on_trial(method):
        scores = torch.zeros(len(t), method.vocab_size + method.needs.extra_scores, device=t.device)
        prediction = method.read(scores, z, t)
        laws = (method.transition(z, t, t / 2, prediction), method.last_guess(z, t, prediction))
    return all(law is not None and float(law[:, 0].abs().max()) < 1e-9 for law in laws)


def guesses_as_it_steps(method: Method) -> bool:
    """Return True if the last guess has the same distribution over tokens as a step to t = 0."""
    z, t, _ = trial(method)
    with torch.no_grad(), on_trial(method):
        width = method.vocab_size + method.needs.extra_scores
        prediction = method.read((torch.arange(width, device=t.device) / width).repeat(len(t), 1), z, t)
        step, guess = method.transition(z, t, torch.zeros_like(t), prediction), method.last_guess(z, t, prediction)
    tokens = None if step is None else step[..., : method.vocab_size].log_softmax(-1)
    return tokens is not None and tokens.shape == guess.shape and torch.allclose(tokens, guess.to(tokens), atol=1e-5)


def has_law(method: Method) -> bool:
    """Return True if the method gives log p(z_s | z_t), from which the harness draws; else it draws steps itself."""
    z, t, prediction = trial(method)
    with torch.no_grad(), on_trial(method):
        return method.transition(z, t, t / 2, prediction) is not None


def trial(method: Method) -> tuple[Tensor, Tensor, LogProbs]:
    """Return z, t and the prediction from uniform scores at the positions of a trial."""
    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    length = trial_length(method)
    text = torch.zeros(1, length, dtype=torch.long, device=device)
    with torch.no_grad(), in_sequences(method, text):
        z = method.prior(text, Stream(0, device))[0]
    with torch.no_grad(), on_trial(method):
        t = torch.full((length,), 0.5, dtype=torch.float64, device=device)
        scores = torch.zeros(length, method.vocab_size + method.needs.extra_scores, device=device)
        return z, t, method.read(scores, z, t)


def on_trial(method: Method) -> AbstractContextManager[None]:
    """Tell the method where the positions of a trial stand."""
    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    length = trial_length(method)
    return at_positions(method, torch.arange(length, device=device), length)


def trial_length(method: Method) -> int:
    """Return the number of positions at which the method is tried."""
    return TRIAL_LENGTH if method.needs.positions else 1
