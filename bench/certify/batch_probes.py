"""Probes of the batch: a document, a sequence and a position have the value that they have alone.

Deterministic: what must be equal is compared, on a network of random weights and on the verbs themselves.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.certify.check import Case, Check
from bench.certify.random_network import VOCAB_SIZE, random_network
from bench.certify.verb_values import (
    KEYS,
    LENGTH,
    ROUNDING,
    Rows,
    Values,
    cut,
    difference,
    draw_rows,
    evaluate,
    evaluate_packed,
    evaluate_sequences,
    find_difference,
    noise_texts,
    stack,
)
from bench.engine.likelihood.bound import bound
from bench.engine.model.method_with_network import Model, times
from bench.engine.rng import Keyed
from methods.method import Method, Tokens

SPREAD = 0.5  # of the random weights
DOCUMENTS, SHORT, DRAWS = 3, 6, 2
ROWS, LARGE = 24, (5_001, 70_001)  # distinct rows; rows of large batches
SEQUENCES = 3_001  # of a large batch
WIDE, WIDE_ROWS, WIDE_BATCH = 300, 8, 1_001  # a vocabulary of more ids than a byte holds
_POSITIONS = f"verbs return the same at any of {LENGTH} positions, whatever stands at the others"


def probe_batches(case: Case) -> Iterator[Check]:
    """Check that neither batch, order, position nor earlier calls change a value."""
    documents = max(_compare_documents(case, VOCAB_SIZE, SHORT), _compare_documents(case, WIDE, LENGTH))
    yield _compare("documents", documents, "the bound of a document is the same alone, in any batch, twice")
    method = case.build(VOCAB_SIZE).double().eval()
    yield from _probe_rows(method, case.build(VOCAB_SIZE).double().eval())
    yield from _probe_wide(case.build(WIDE).double().eval())
    meaning = f"each of {SEQUENCES} sequences has the value that it has alone"
    yield _compare("sequences", _compare_sequences(case.build(VOCAB_SIZE).double().eval()), meaning)


def _compare(name: str, outcome: tuple[float, str], meaning: str) -> Check:
    change, verb = outcome
    return Check(f"probe: {name}", f"{change:.0e} ({verb})", change <= ROUNDING, meaning)


@torch.no_grad()
def _compare_documents(case: Case, vocab_size: int, length: int) -> tuple[float, str]:
    """The largest difference between ways to evaluate the bound of the same documents."""

    def build_network() -> Model:
        return random_network(case.build(vocab_size), SPREAD, seed=0).eval()

    def measure(model: Model, x: Tokens, batch_size: int) -> Tensor:
        return torch.stack(list(bound(model, x, DRAWS, 1, 0, batch_size).values()))

    x = torch.randint(vocab_size, (DOCUMENTS, length), generator=torch.Generator().manual_seed(0))
    model = build_network()
    together = measure(model, x, DOCUMENTS)
    ways = {
        "a second time": measure(model, x, DOCUMENTS),
        "one by one": measure(model, x, 1),
        "in batches of two": measure(build_network(), x, 2),
        "with fewer documents": torch.cat([measure(build_network(), x[:2], 2), together[:, 2:]], 1),
    }
    changes = {name: difference(nats, together) for name, nats in ways.items()}
    changes["in another order"] = difference(
        _measure_order(build_network(), x.flip(0), order=-1), _measure_order(model, x)
    )
    way = max(changes, key=lambda name: changes[name])
    return changes[way], way


def _measure_order(model: Model, x: Tokens, order: int = 1) -> Tensor:
    """The cost of each document at one noise draw, whose random numbers belong to the document [n]."""
    method, documents = model.method, list(range(len(x)))[::order]
    u = torch.linspace(0.2, 0.9, len(x), dtype=torch.float64)[documents]
    t = times(method, u)
    z = noise_texts(method, x, t, Keyed(0, documents, 0))
    nats = model.costs(method.bound, x, z, t).sum(-1)
    return nats[documents]


def _probe_rows(method: Method, untouched: Method) -> Iterator[Check]:
    """Rows alone, in large batches, at other positions, and again after other calls."""
    rows = draw_rows(method, ROWS)
    with torch.no_grad():
        index = torch.randint(ROWS, (LARGE[-1],), generator=torch.Generator().manual_seed(1))
        first = evaluate_packed(untouched, rows.take(index[: LARGE[0]]))  # before any other call
        alone = _evaluate_alone(method, rows)
        large = {size: evaluate_packed(method, rows.take(index[:size])) for size in LARGE}
        again = _evaluate_alone(method, rows, order=-1)
        placed = None if method.needs.positions else _evaluate_placed(method, rows)

    changes = [find_difference(values, cut(alone, index[:size])) for size, values in large.items()]
    meaning = f"in a batch of {LARGE[0]} or {LARGE[-1]} positions each has the value that it has alone"
    yield _compare("large batches", max(changes), meaning)
    repeated = max(find_difference(again, alone), find_difference(first, large[LARGE[0]]))
    yield _compare("repeated calls", repeated, "verbs return the same after other calls, and before any")
    if placed is not None:
        yield _compare("positions", _compare_placed(placed, alone), _POSITIONS)


def _evaluate_alone(method: Method, rows: Rows, order: int = 1) -> Values:
    """The values of rows that are asked for one by one, in either direction."""
    indices = list(torch.arange(len(rows.x))[:, None].unbind(0))[::order]
    return stack([evaluate_packed(method, rows.take(index)) for index in indices][::order])


def _evaluate_placed(method: Method, rows: Rows) -> Values:
    """The values of rows at every position of sequences [B, L], on one axis in the order of the rows and positions."""
    index = _shift(len(rows.x))
    values = evaluate(method, rows.take(index))
    return {name: value[_unshift(len(rows.x))] for name, value in values.items()}


def _shift(count: int) -> Tensor:
    """Indices [count, LENGTH] that put every row at every position once."""
    return (torch.arange(count)[:, None] + torch.arange(LENGTH)) % count


def _unshift(count: int) -> tuple[Tensor, Tensor]:
    """Where row r stands at position i: the sequence and the position, each [count, LENGTH]."""
    position = torch.arange(LENGTH).expand(count, LENGTH)
    return (torch.arange(count)[:, None] - position) % count, position


def _compare_placed(placed: Values, alone: Values) -> tuple[float, str]:
    expected = {name: alone[name][:, None].expand_as(value) for name, value in placed.items()}
    return find_difference(placed, expected)


@torch.no_grad()
def _probe_wide(method: Method) -> Iterator[Check]:
    """Rows of a large vocabulary alone, together, and at other positions."""
    rows = draw_rows(method, WIDE_ROWS)
    index = torch.randint(WIDE_ROWS, (WIDE_BATCH,), generator=torch.Generator().manual_seed(1))
    alone = _evaluate_alone(method, rows)
    changes = [find_difference(evaluate_packed(method, rows.take(index)), cut(alone, index))]
    if not method.needs.positions:
        changes.append(_compare_placed(_evaluate_placed(method, rows), alone))
    yield _compare(
        "a large vocabulary",
        max(changes),
        f"{method.vocab_size} tokens: {WIDE_BATCH} rows, {LENGTH} positions as alone",
    )


@torch.no_grad()
def _compare_sequences(method: Method) -> tuple[float, str]:
    """The largest difference between sequences alone and in a large batch, and of the prior with the text."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(VOCAB_SIZE, (KEYS, LENGTH), generator=generator)
    t, key = times(method, torch.rand(KEYS, generator=generator, dtype=torch.float64)), torch.arange(KEYS)
    z = noise_texts(method, x, t, Keyed(1, key.tolist(), 0))
    index = torch.randint(KEYS, (SEQUENCES,), generator=generator)
    large = evaluate_sequences(method, x[index], z[index], t[index], key[index])
    singles = range(0, KEYS, 8)
    alone = stack([evaluate_sequences(method, *(value[i : i + 1] for value in (x, z, t, key))) for i in singles])

    where = torch.stack([(index == i).nonzero()[0, 0] for i in singles])
    changes = [find_difference(cut(large, where), alone)]
    if "prior" in large:
        prior_of_change = evaluate_sequences(method, (x + 1) % VOCAB_SIZE, z, t, key)["prior"]
        prior = evaluate_sequences(method, x, z, t, key)["prior"]
        changes.append((difference(prior_of_change, prior), "prior, given another text"))
    return max(changes)
