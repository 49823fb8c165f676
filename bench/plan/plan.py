"""From a suite to its cells: training runs and the stages on top of them, under ids made from their science."""

from bench.engine.model.method_instances import method_instance
from bench.engine.records import Stage
from bench.engine.settings import Settings
from bench.engine.storage import digest
from bench.plan.cell_ids import stage_after, training_identity
from bench.plan.cells import Cell, Plan
from bench.plan.quality_cells import QualityIdentity, check_scorer, plan_quality_cells, quality_identity
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite


def plan(suite: Suite) -> Plan:
    """The cells of a suite; a pure function of it. Two labels with the same science get the same id."""
    quality_cells = plan_quality_cells(suite)
    quality = suite.spec.evaluation.quality
    identity = None if quality is None else quality_identity(suite, quality, quality_cells)
    arms = tuple(plan_cell(suite, arm, seed, identity) for arm in suite.spec.arms for seed in suite.spec.seeds)
    check_scorer(suite, arms)
    return Plan(suite, arms, quality_cells)


def plan_cell(suite: Suite, arm: ArmSpec, seed: int, quality: QualityIdentity | None) -> Cell:
    """One arm with one seed."""
    amount, science = training_identity(suite, arm, seed, {})
    id = digest(science)
    return Cell(
        id=id,
        arm=arm.label,
        method=arm.method,
        options=arm.options,
        seed=seed,
        amount=amount,
        stages=plan_stages(suite, arm, id, quality),
        science=science,
        network=suite.spec.network_of(arm),
        training=suite.spec.training_of(arm),
        budget=suite.spec.budget_of(arm),
        execution=suite.spec.execution_of(arm),
        base=arm.base,
    )


def plan_stages(suite: Suite, arm: ArmSpec, id: str, quality: QualityIdentity | None) -> tuple[Stage, ...]:
    """The stages of a cell. Quality comes last, so that its failure costs no other result."""
    stages: dict[str, Stage] = {}
    for name, settings in evaluations(suite, arm):
        stage = stage_after(id, name, settings.science(), settings.model_dump(mode="json"))
        stages[stage.id] = stage

    measured: list[Stage] = []
    if quality is not None:
        for stage in stages.values():
            if stage.name == "samples":
                samples = {"samples": stage.folder, "way": stage.settings}
                measured.append(stage_after(stage.id, "quality", quality.science, samples | quality.settings))
    return (Stage(name="train", id=id), *stages.values(), *measured)


def evaluations(suite: Suite, arm: ArmSpec) -> list[tuple[str, Settings]]:
    """What is evaluated on a trained cell: its bounds, the headline first, then samples and trajectories."""
    evaluation = suite.spec.evaluation
    method = method_instance(arm.method, suite.facts.vocab_size, arm.options)
    headline, *others = evaluation.bounds_of(arm.label, method)
    stages: list[tuple[str, Settings]] = [("bound", headline), *(("estimate", bound) for bound in others)]

    drawn = {"samples": evaluation.samples_of(arm.label), "trajectories": evaluation.trajectories_of(arm.label)}
    for name, ways in drawn.items():
        stages += [(name, way.for_causal() if method.needs.causal else way) for way in ways]
    return stages
