"""From a suite to its cells: which trainings and which stages on top of them, under ids made from their science."""

from bench.engine.model.method_instances import method_instance
from bench.engine.settings import Settings
from bench.engine.storage import digest
from bench.plan.cells import Cell, Plan, Stage
from bench.plan.identity import _later, _science
from bench.plan.quality_cells import Judging, _check_scorer, _judging, plan_judges
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite


def plan(suite: Suite) -> Plan:
    """The cells of a suite; a pure function of it. Two labels with the same science get the same id."""
    judges = plan_judges(suite)
    judging = _judging(suite, judges)
    arms = tuple(_cell(suite, arm, seed, judging) for arm in suite.spec.arms for seed in suite.spec.seeds)
    _check_scorer(suite, arms)
    return Plan(suite, arms, judges)


def _cell(suite: Suite, arm: ArmSpec, seed: int, judging: Judging | None) -> Cell:
    amount, science = _science(suite, arm, seed, {})
    id = digest(science)
    stages = _stages(suite, arm, id, judging)
    own = (suite.spec.network_of(arm), suite.spec.training_of(arm), suite.spec.budget_of(arm))
    return Cell(id, arm.label, arm.method, arm.options, seed, amount, stages, science, *own, base=arm.base)


def _stages(suite: Suite, arm: ArmSpec, id: str, judging: Judging | None) -> tuple[Stage, ...]:
    """What is done to a cell: whatever judges its texts comes last, so that its failure costs nothing."""
    evaluation = suite.spec.evaluation
    method = method_instance(arm.method, suite.facts.vocab_size, arm.options)
    headline, *others = evaluation.bounds(arm.label, method)
    blocks: list[tuple[str, Settings]] = [("bound", headline), *(("estimate", each) for each in others)]
    causal = method.needs.causal
    for name, ways in (("samples", evaluation.samplers(arm.label)), ("trajectories", evaluation.watched(arm.label))):
        blocks += [(name, way.for_causal() if causal else way) for way in ways]
    later = {
        stage.id: stage for stage in (_later(name, id, b.science(), b.model_dump(mode="json")) for name, b in blocks)
    }
    judged: list[Stage] = []
    if judging is not None:
        science, how = judging
        for stage in [stage for stage in later.values() if stage.name == "samples"]:
            block = {"samples": stage.folder, "way": stage.block, **how}
            judged.append(_later("quality", stage.id, science, block))
    return (Stage("train", id, {}), *later.values(), *judged)
