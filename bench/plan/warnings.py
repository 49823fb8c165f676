"""Warnings of a plan: settings that are allowed but hardly meant, each with its number."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.engine.train.settings import Training
from bench.plan.budget import UNITS, format_amount
from bench.plan.cells import Cell, Plan
from bench.plan.data_warnings import SPLIT_NAMES, Finding, find_in_data

MOST_EPOCHS = 100  # passes over a small text; published runs on text8 make a thousand over its 90 million letters
SMALL_TEXT = 10_000_000  # tokens
FEWEST_SEQUENCES = 10  # for a standard error over sequences
LARGEST_ROUNDING = 0.1  # of a budget, to whole steps
RATES = (1e-7, 0.1)  # learning rates of AdamW beyond which nothing is learned
LARGEST_DECAY = 0.1  # share of a weight that weight decay takes away in a step
SHOWN = 4  # arms that a warning names


@dataclass(frozen=True)
class PlanWarning:
    """A setting that is hardly meant, or a fact about the data that spoils the numbers."""

    about: str  # the setting, such as "training.warmup_steps", or the fact, such as "data.sequences_in_training"
    message: str
    number: float  # that the message is about
    arms: tuple[str, ...] = ()  # labels; empty if it concerns all


def find_warnings(plan: Plan) -> list[PlanWarning]:
    """What is hardly meant in a plan, each once with the arms that it concerns."""
    of_all = [*find_in_data(plan.suite), *_check_evaluation(plan)]
    of_arms = _group_by_arms(plan, _check_training)
    return [*(PlanWarning(finding.about, finding.message, finding.number) for finding in of_all), *of_arms]


def texts_to_record(plan: Plan) -> tuple[str, ...]:
    """The warnings that a report repeats: all but those that are notes on the data already."""
    notes = plan.suite.facts.notes
    messages = [warning.message for warning in find_warnings(plan)]
    return tuple(message for message in messages if not any(note.startswith(message) for note in notes))


def _group_by_arms(plan: Plan, check: Callable[[Plan, Cell], Iterator[Finding]]) -> list[PlanWarning]:
    """The findings of all training runs, one for each setting, after the arms that it concerns unless these are all."""
    findings: dict[str, dict[Finding, None]] = {}
    labels: dict[str, dict[str, None]] = {}
    for cell in (*plan.cells, *(cell for cell in plan.quality_cells if cell.role == "scorer")):
        for finding in check(plan, cell):
            findings.setdefault(finding.about, {})[finding] = None
            labels.setdefault(finding.about, {})[cell.arm] = None

    everyone = {cell.arm for cell in plan.cells}
    warnings = []
    for about, arms in labels.items():
        first, *rest = findings[about]
        names = () if everyone <= arms.keys() else tuple(arms)
        more = f" (and {len(rest)} more like this)" if rest else ""
        message = (f"{_join_arms(names)}: " if names else "") + first.message + more
        warnings.append(PlanWarning(about, message, first.number, names))
    return warnings


def _join_arms(names: tuple[str, ...]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _check_training(plan: Plan, cell: Cell) -> Iterator[Finding]:
    """Learning rates that are out of range or never reached, batches, epochs and rounded budgets."""
    training, facts = cell.training, plan.suite.facts
    yield from _check_rates(training, cell.steps)

    split = "reserve" if cell.role == "scorer" else "train"
    count, tokens = facts.sequences[split], facts.tokens[split]
    if training.batch_size > count:
        batch = f"a batch of {training.batch_size:,} sequences"
        message = f"{batch} is larger than its training text, which holds {count:,}"
        yield Finding("training.batch_size", message, training.batch_size)

    epochs = cell.tokens / tokens
    if epochs > MOST_EPOCHS and tokens < SMALL_TEXT:
        message = f"training passes {epochs:,.0f} times over the {tokens:,} tokens of its text"
        yield Finding("data.tokens", message, epochs)

    if "validations" in training.model_fields_set and training.validations > cell.steps:
        message = (
            f"{training.validations:,} validations do not fit into {cell.steps:,} steps; each step has at most one"
        )
        yield Finding("training.validations", message, training.validations)
    yield from _check_rounding(cell)


def _check_rates(training: Training, steps: int) -> Iterator[Finding]:
    """A warm-up that never ends, and learning rates that no training with AdamW uses."""
    rate, warmup = training.learning_rate, training.warmup_steps
    if warmup >= steps:
        highest = max(training.rate_at(step, steps) for step in (0, steps - 1))
        plural = "step" if steps == 1 else "steps"
        progress = f"{steps:,} {plural} of a {warmup:,}-step warm-up"
        message = f"{progress} reach a learning rate of {highest:.2g} of the {rate:g} that is asked for"
        yield Finding("training.warmup_steps", message, highest)

    low, high = RATES
    if not low <= rate < high:
        extreme = "low" if rate < low else "high"
        message = f"a learning rate of {rate:g} is too {extreme} for AdamW, whose steps are about that long"
        yield Finding("training.learning_rate", message, rate)
    if (share := rate * training.weight_decay) >= LARGEST_DECAY:
        settings = f"weight decay {training.weight_decay:g} at learning rate {rate:g}"
        message = f"{settings} takes {share:.0%} of each weight away in a step"
        yield Finding("training.weight_decay", message, share)


def _check_rounding(cell: Cell) -> Iterator[Finding]:
    """A budget that whole steps miss by far."""
    unit, budget = next(iter(cell.budget.model_dump(exclude_none=True).items()))
    amount = cell.amount._asdict()[unit]
    if abs(amount - budget) > LARGEST_ROUNDING * budget:
        steps = "1 step" if cell.steps == 1 else f"{cell.steps:,} steps"
        result = f"{steps} of {format_amount(amount, unit)} in all, {amount / budget:.2g} times as much"
        message = f"a budget of {format_amount(budget, unit)} {UNITS[unit]} becomes {result}"
        yield Finding("budget", message, amount / budget)


def _check_evaluation(plan: Plan) -> Iterator[Finding]:
    """Bounds on more sequences than there are, or on so few that their errors mean nothing; quality of few texts."""
    for bound in dict.fromkeys((bound.split, bound.sequences) for bound in plan.suite.spec.evaluation.bound):
        yield from _check_bound(plan, *bound)

    evaluation = plan.suite.spec.evaluation
    counts = [samples.count for samples in evaluation.samples]
    if evaluation.quality is not None and min(counts) < FEWEST_SEQUENCES:
        few = min(counts)
        texts = "1 text" if few == 1 else f"{few} texts"
        yield Finding(
            "evaluation.samples.count", f"quality is measured on {texts} of an arm; its errors mean little", few
        )


def _check_bound(plan: Plan, split: str, sequences: int | None) -> Iterator[Finding]:
    available, about = plan.suite.facts.sequences[split], "evaluation.bound.sequences"
    name = SPLIT_NAMES[split]
    if sequences is not None and sequences > available:
        message = f"{sequences:,} sequences are asked of the {name} split; it holds {available:,}, and all are used"
        yield Finding(about, message, sequences)

    count = min(sequences or available, available)
    if count < FEWEST_SEQUENCES:
        texts = "1 sequence" if count == 1 else f"{count} sequences"
        yield Finding(about, f"bounds are measured on {texts} of the {name} split; their errors mean little", count)
