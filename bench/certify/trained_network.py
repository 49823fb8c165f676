"""The Kraft sum of a network that was trained to exploit the bound: for any network, it is at most 1.

If every bound is at least -log p(x) for one law p, then exp(-bound), summed over all texts, is at most 1 (the Kraft
inequality of prefix codes). Training through the method's own objective, with the harness's own trainer, finds what a
bound leaves unpaid: a token that reaches the network, a guess that costs less when it is sure, a bound that changes
once its parameters have moved.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch

from bench.certify.check import Case, Check
from bench.certify.enumeration import enumerate_ids, find_enumeration
from bench.certify.exact_bound import ExactBound
from bench.certify.false_alarms import Estimate, is_surprising
from bench.certify.oracle import Table
from bench.engine.data import Dataset
from bench.engine.data.source_summary import DataSummary
from bench.engine.data.tokenizers.tokenizer import find_characters
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import EstimatorName, estimator_for
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Trainer

VOCAB_SIZE, LENGTH = 3, 2
TEXTS = torch.tensor(list(product(range(VOCAB_SIZE), repeat=LENGTH)))
TOKEN_LAW = torch.tensor(
    [0.84, 0.12, 0.04], dtype=torch.float64
)  # of independent tokens, which a small network learns well
SEQUENCES = 2**12  # of training
SHAPE = Shape(layers=1, width=32, heads=2, condition=8, gates="open")
STEPS = 250
TRAINING = Training(batch_size=64, learning_rate=1e-2, warmup_steps=20, decay="cosine", ema=0.0, validations=0)
DRAWS, REPLICATES = 32, 16
WARP = 3.0  # times are drawn as u ** WARP: rare large costs at small times would hide in a few draws otherwise
HUGE = 1e4  # a sum that is told in powers of ten
HIDDEN_TAIL = 0.1  # by which a sum may be too high all the same, as draws miss the rarest costs
ACCURACY, MAX_SUBDIVISIONS = 1e-4, 12  # of the quadrature over time: a network's scores are rounded
ROUNDING = {"float32": 1e-3, "bfloat16": 5e-3}  # by which a sum may be above 1


def check_trained_network(case: Case) -> Iterator[Check]:
    """Check the Kraft sum of a trained network: over the harness's own draws, and exactly where z can be enumerated."""
    model = train_network(case)
    excess, meaning = (
        kraft_excess(model, case),
        "exp(-bound), summed over all texts, is at most 1 for a trained network",
    )
    name, figure = "Kraft sum of a trained network", f"{1 + excess.mean:.4g} ± {excess.error:.2g}"
    if case.build(2).exact:
        meaning = "the probabilities of all texts sum to one for a trained network"
        yield Check(
            name, figure, abs(excess.mean) <= ROUNDING[case.precision], meaning, f"{ROUNDING[case.precision]:.0e}"
        )
        return

    p_value, sees = excess.p_above(HIDDEN_TAIL), f"{HIDDEN_TAIL + excess.smallest_visible:.2g}"
    yield Check(name, figure, not is_surprising(p_value), meaning, sees, p_value)
    if find_enumeration(model.method, LENGTH) is enumerate_ids:
        is_counted = estimator_for(model.method, case.estimator).name == "counted"
        total, tolerance = exact_kraft_sum(model, is_counted), ROUNDING[case.precision]
        figure = f"{total:.5f}" if total < HUGE else f"{total:.3g}"
        yield Check(f"{name}, all z", figure, total <= 1 + tolerance, meaning, f"{tolerance:.0e}")


@torch.no_grad()
def exact_kraft_sum(model: Model, is_counted: bool) -> float:
    """The Kraft sum over all texts, with all z enumerated and time integrated."""
    law = torch.full((len(TEXTS),), 1 / len(TEXTS), dtype=torch.float64)
    exact = ExactBound(model.method, Table(law, VOCAB_SIZE, LENGTH), model, is_counted, ACCURACY, MAX_SUBDIVISIONS)
    return exact.kraft_sum()


def train_network(case: Case) -> Model:
    """Train a small network of the case's precision for a few seconds, and return it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        model = Model(case.build(VOCAB_SIZE), SHAPE, VOCAB_SIZE, "sdpa", case.precision)
        trainer = Trainer(model, independent_tokens(case.seed), TRAINING, Budget(steps=STEPS), case.seed)
        for _ in range(STEPS):
            trainer.step()
    model.method.progress = 1.0
    return model.eval()


def independent_tokens(seed: int) -> Dataset:
    """Texts of independent tokens, most of which a network can be nearly sure of."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.multinomial(TOKEN_LAW, SEQUENCES * LENGTH, True, generator=generator).numpy().astype(np.uint8)
    tokenizer = find_characters("abc")
    sizes = {"train": SEQUENCES}, {"train": len(ids)}
    summary = DataSummary("independent tokens", LENGTH, VOCAB_SIZE, tokenizer.level, *sizes, "", ())
    return Dataset(summary, {"train": ids}, LENGTH, tokenizer, None)


def kraft_excess(model: Model, case: Case) -> Estimate:
    """The Kraft sum over all texts minus 1; noise biases it upwards by half its variance, which is subtracted."""
    is_drawn = estimator_for(model.method, case.estimator).name in ("times", "independent")
    model.method.warp = WARP
    estimator: EstimatorName = "times" if is_drawn else case.estimator
    terms = bound(model, TEXTS, DRAWS, REPLICATES, case.seed, len(TEXTS), estimator=estimator)
    nats = torch.stack(list(terms.values())).sum(0)

    variance = nats.var(1) / nats.shape[1] if nats.shape[1] > 1 else torch.zeros(len(TEXTS), dtype=torch.float64)
    probability = (-nats.mean(1)).exp()
    total = probability.sum() - (probability * variance / 2).sum()
    return Estimate(float(total) - 1, float((probability.square() * variance).sum().sqrt()))
