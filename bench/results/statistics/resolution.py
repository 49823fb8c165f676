"""The resolution of metrics of texts: the smallest step that a metric of so many texts can make.

Texts that happen to agree, such as texts that all hold the same letters, have an error of zero. They are not known
better than the step, so that it is the floor of an error wherever one divides by it.
"""

from bench.engine.metric_definitions import METRICS


def resolution(metric: str, count: int, shape: str) -> float:
    """One of all tokens, or one of the texts (`Metric.step`), of `count` texts.

    `shape` is the number and length of the texts, such as "100 x 128"; if it is "", the step is that of whole texts.
    """
    length = int(shape.partition(" x ")[2] or 1)
    is_of_tokens = metric in METRICS and METRICS[metric].step == "token"
    return 1 / (max(1, count) * (length if is_of_tokens else 1))
