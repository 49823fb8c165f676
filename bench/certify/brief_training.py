"""Train a method's own parameters for a few steps: whatever they are, its mathematics must hold."""

import torch
from torch import Tensor

from bench.engine.model.method_with_network import times
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Stream
from methods.method import Method, pick

STEPS, SEQUENCES, LENGTH = 40, 8, 4
LEARNING_RATE = 0.02


@torch.enable_grad()
def train_briefly(method: Method) -> Method:
    """Train a method in place as the harness does, with scores in the place of a network; return it."""
    generator, rng = torch.Generator().manual_seed(0), Stream(0)
    width = method.vocab_size + method.needs.extra_scores
    scores = torch.randn(SEQUENCES * method.draws, LENGTH, width, generator=generator, dtype=torch.float64)
    scores.requires_grad_()
    parameters = [parameter for group in method.parameter_groups() for parameter in group["params"]]
    optimizer = torch.optim.Adam([scores, *parameters], lr=LEARNING_RATE)

    method.train()
    for step in range(STEPS):
        method.progress = step / STEPS
        x = torch.randint(method.vocab_size, (SEQUENCES, LENGTH), generator=generator)
        u = torch.rand(SEQUENCES, generator=generator, dtype=torch.float64) * 0.98 + 0.01
        optimizer.zero_grad()
        _loss(
            method, x.repeat_interleave(method.draws, 0), u.repeat_interleave(method.draws, 0), scores, rng
        ).backward()
        optimizer.step()
    method.progress = 1.0
    return method.eval()


def _loss(method: Method, x: Tensor, u: Tensor, scores: Tensor, rng: Stream) -> Tensor:
    """The objective, and the ends if training adds them, in nats per token."""
    with in_sequences(method, x):
        return _loss_of_sequences(method, x, u, scores, rng)


def _loss_of_sequences(method: Method, x: Tensor, u: Tensor, scores: Tensor, rng: Stream) -> Tensor:
    t = times(method, u)
    z, at = method.corrupt(x, t, rng), t[:, None].expand(x.shape)
    nats = method.objective(x, z, at, method.read(scores, z, at))
    loss = method.couple(nats, x, z, t).mean()
    if not method.needs.trains_ends:
        return loss

    t = torch.full_like(t, method.t_min)
    z, at = method.corrupt(x, t, rng), t[:, None].expand(x.shape)
    guess = method.last_guess(z, at, method.read(scores, z, at))
    return loss - pick(guess, x).mean() + method.prior_gap(x).mean()
