"""Probes of state: a bound depends on parameters, text and noise, whatever was computed before and in which mode."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.certify.batch_probes import SPREAD
from bench.certify.brief_training import train_briefly
from bench.certify.check import Case, Check
from bench.certify.random_network import VOCAB_SIZE, random_network
from bench.certify.verb_values import ROUNDING, Rows, Values, draw_rows, evaluate, find_difference, noise_texts
from bench.engine.model.method_with_network import Model, last_guess_costs, times
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Keyed
from methods.method import Latent, Method, Tokens

ROWS, DOCUMENTS, LENGTH = 256, 6, 6


def probe_state(case: Case) -> Iterator[Check]:
    """Check that earlier texts, gradients, modes and training leave no trace but the parameters."""
    yield _check_stale(case)
    method = case.build(VOCAB_SIZE).double()
    rows = draw_rows(method, ROWS)
    yield _check_modes(method, rows)
    yield _check_training(case, rows)


@torch.no_grad()
def _check_stale(case: Case) -> Check:
    """The scores and costs of given z, before and after other texts were noised and costed."""
    x = torch.randint(VOCAB_SIZE, (DOCUMENTS, LENGTH), generator=torch.Generator().manual_seed(0))
    source = random_network(case.build(VOCAB_SIZE), SPREAD, seed=0).eval().method
    t = times(source, torch.linspace(0.1, 0.9, DOCUMENTS, dtype=torch.float64))
    z = noise_texts(source, x, t, Keyed(0, list(range(DOCUMENTS)), 0))

    model = random_network(case.build(VOCAB_SIZE), SPREAD, seed=0).eval()
    untouched, changed_text = _observe(model, x, z, t), (x + 1) % VOCAB_SIZE
    changes = []
    for text in (x, changed_text):
        noise_texts(model.method, text, t, Keyed(0, list(range(DOCUMENTS)), 0))
        changes.append(find_difference(_observe(model, x, z, t), untouched))
        model.costs(model.method.bound, text, z, t)
        with in_sequences(model.method, text):
            model.method.prior_gap(text)
        changes.append(find_difference(_observe(model, x, z, t), untouched))
    change, name = max(changes)
    meaning = "scores and costs of given z are the same, whichever texts were noised and evaluated before"
    return Check("probe: stale state", f"{change:.0e} ({name})", change <= ROUNDING, meaning)


def _observe(model: Model, x: Tokens, z: Latent, t: Tensor) -> Values:
    """What a network is shown and what it costs, for a copy of z that carries nothing but its numbers."""
    copy = torch.tensor(z.tolist(), dtype=z.dtype)
    return {
        "hidden states": model.hidden(copy, t),
        "bound": model.costs(model.method.bound, x, copy, t),
        "last guess": last_guess_costs(model, x, copy, t),
    }


def _check_modes(method: Method, rows: Rows) -> Check:
    """The verbs with gradients and without, in training and in evaluation mode."""
    values = []
    for is_training in (False, True):
        method.train(is_training)
        for has_gradients in (False, True):
            with torch.set_grad_enabled(has_gradients):
                values.append(_evaluate(method, rows))
    change, name = max(find_difference(variant, values[0]) for variant in values[1:])
    meaning = "verbs return the same with and without gradients, in training and in evaluation mode"
    return Check("probe: gradients and modes", f"{change:.0e} ({name})", change <= ROUNDING, meaning)


def _check_training(case: Case, rows: Rows) -> Check:
    """The verbs after a brief training, and those of a fresh method with the same parameters."""
    trained, fresh = train_briefly(case.build(VOCAB_SIZE).double()), case.build(VOCAB_SIZE).double().eval()
    fresh.load_state_dict(trained.state_dict())
    with torch.no_grad():
        copied = _evaluate(fresh, rows)
        change, name = find_difference(_evaluate(trained, rows), copied)
    meaning = "after training, verbs return what those of a new method with the same parameters do"
    return Check("probe: training", f"{change:.0e} ({name})", change <= ROUNDING, meaning)


def _evaluate(method: Method, rows: Rows) -> Values:
    """The values of all verbs but the training loss, which may depend on what training has seen."""
    values = evaluate(method, rows)
    del values["objective"]
    return values
