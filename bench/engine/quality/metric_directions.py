"""Which way each metric of quality is judged: reports mark what a control wins, and the best arm."""

from bench.engine.metric_definitions import QUALITY, Better

JUDGED: dict[str, Better] = {metric.name: metric.better for metric in QUALITY if metric.better}
