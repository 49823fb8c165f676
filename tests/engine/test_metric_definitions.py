"""The registry of metrics."""

from bench.engine.metric_definitions import METRICS, QUALITY, scalars_of, unit_of
from bench.engine.quality import JUDGED
from bench.engine.records import TrainResult


def test_names_are_unique_and_every_metric_has_a_header() -> None:
    assert all(metric.title and name == metric.name for name, metric in METRICS.items())
    assert len({metric.name for metric in QUALITY}) == len(QUALITY)


def test_a_part_has_the_unit_of_its_metric() -> None:
    assert unit_of("integral[normalisation]") == unit_of("integral") == "nats/token"
    assert unit_of("power[a]") == unit_of("never heard of") == ""


def test_every_quality_metric_is_judged() -> None:
    assert set(JUDGED) == {metric.name for metric in QUALITY}


def test_scalars_are_fields_of_the_results() -> None:
    assert set(scalars_of("train")) <= set(TrainResult.model_fields)
    assert scalars_of("bound") == ["seconds", "network_calls"]
    assert scalars_of("quality") == []
