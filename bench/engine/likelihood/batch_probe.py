"""A probe of the bound in use: does the bound of a document depend on the batch that it is evaluated in?

A few documents of the split are evaluated once more, each alone and with the same noise draws. Their bounds must equal
those in the batch up to rounding. If the verbs of a method mix documents, count them or remember earlier calls, a
document has no bound of its own; a certificate, whose batches are small, need not see it.
"""

from dataclasses import dataclass

from bench.engine.likelihood.bound import PARTS, Parts, bound
from bench.engine.likelihood.estimators import EstimatorName
from bench.engine.measurements import BatchProbe
from bench.engine.model.method_with_network import Model
from methods.method import Tokens

FEWEST = 32  # evaluations (documents times replicates) from which on one document is repeated: at most 3 % more work
EVALUATIONS_PER_DOCUMENT = 256  # for every so many, one document is repeated
MOST = 4  # documents

# The allowed difference of a part of the bound relative to its nats plus one nat per token, by the precision of the
# network's products. For random networks of the presets micro, tiny and small, the registered methods differ on a CPU
# by at most 1e-7 in float32 (7e-6 with weights three times as large) and 1e-12 in float64; kernels for other batch
# sizes may round otherwise on a GPU. In bfloat16 a CPU gives equal numbers; there, the tolerance is above what bfloat16
# itself changes in a bound, at most 1.4e-2 with such weights.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "bfloat16": 2e-2}

FAULT = "the bound of a document depends on the batch that it is evaluated in"
CAUSE = "a verb mixes documents, counts them, or remembers earlier calls"


class BatchDependence(ArithmeticError):
    """The bound of a document in a batch differs from the bound of the document alone."""


@dataclass(frozen=True)
class Pair:
    """A part of the bound of one document, from the same noise draws."""

    in_batch: float  # nats
    alone: float  # nats

    def relative_difference(self, length: int) -> float:
        """Return the difference relative to the nats in the batch plus one nat per token."""
        return abs(self.in_batch - self.alone) / (abs(self.in_batch) + length)

    def describe(self, among: int) -> str:
        """Describe both, if the batch has `among` documents."""
        return f"{self.in_batch:.7g} nats in a batch of {among} and {self.alone:.7g} nats alone"


def probe_batches(
    model: Model, x: Tokens, parts: Parts, draws: int, seed: int, batch_size: int, estimator: EstimatorName = "auto"
) -> BatchProbe:
    """Compare the bound of some documents of x [n, L] in the batch with that of each alone, in the first replicate.

    `parts` was returned by `bound` with the same arguments. Raises BatchDependence if a part of it differs by more than
    the tolerance.
    """
    precision, largest = precision_of(model), 0.0
    documents = choose_documents(*parts["integral"].shape[:2])
    for document in documents:
        alone = bound(model, x[document : document + 1], draws, 1, seed, 1, estimator=estimator, first=document)
        for name in PARTS:
            nats = Pair(float(parts[name][document, 0]), float(alone[name][0, 0]))
            difference = nats.relative_difference(x.shape[1])
            if not difference <= TOLERANCES[precision]:
                among = len(x[document // batch_size * batch_size :][:batch_size])
                subject = f"the {name} of document {document} by {type(model.method).__name__}"
                allowed = f"{precision} explains {TOLERANCES[precision]:.0e} of {difference:.0e}"
                raise BatchDependence(f"{FAULT}: {subject} is {nats.describe(among)} ({allowed}); {CAUSE}")
            largest = max(largest, difference)
    return BatchProbe(documents=documents, largest_difference=largest, tolerance=TOLERANCES[precision])


def choose_documents(count: int, replicates: int) -> tuple[int, ...]:
    """Return the numbers of the documents to repeat, spread evenly over `count` documents; none if they are few."""
    evaluations = count * replicates
    if evaluations < FEWEST:
        return ()
    repeated = min(MOST, count, max(1, evaluations // EVALUATIONS_PER_DOCUMENT))
    return tuple((2 * number + 1) * count // (2 * repeated) for number in range(repeated))


def precision_of(model: Model) -> str:
    """Return the precision of the network's products: "bfloat16", or the type of its weights."""
    if model.precision == "bfloat16":
        return "bfloat16"
    return str(next(model.parameters()).dtype).removeprefix("torch.")
