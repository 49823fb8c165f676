"""Protocols: what a number of the bound depends on beside the model, in words.

Numbers are compared, and their noise is paired, only if their protocols are equal strings. `normalize_protocol` maps
the words of earlier versions to those of today, so that records of both can be compared.
"""

import re

from bench.engine.likelihood.estimators import Counted, Exact, estimator_for
from bench.engine.likelihood.settings import BoundSpec
from methods.method import Method

OLD_WORDS = (  # patterns in the words of earlier versions -> those of today; none matches the words of today
    (r"\bmirrored draws\b", "antithetic draws"),
    (r"\bdraws x (\d+)(?! replicates)(?!\d)", r"draws x \1 replicates"),
    (r", noise (\d+)", r", noise seed \1"),
    (r" with both ends\b", " with prior and reconstruction loss"),
    (r"(?<!stratified )(?<!independent )\bt on (\d+) steps, independent\b", r"independent t on \1 steps"),
    (r"(?<!stratified )(?<!independent )\bt on (\d+) steps\b", r"stratified t on \1 steps"),
    (r"( t on \d+ steps), last guess\b", r"\1 with reconstruction loss"),
    (r"\btokens a sequence\b", "tokens per sequence"),
    (r"\baveraged weights\b", "EMA weights"),
)


def describe_protocol(method: Method, spec: BoundSpec, length: int, precision: str) -> str:
    """Describe how the bound of sequences of `length` tokens is measured."""
    text = f"{spec.split} packed without overlap, {length} tokens per sequence"
    return f"{describe_noise(method, spec)}; {text}; EMA weights; {precision}"


def describe_noise(method: Method, spec: BoundSpec) -> str:
    """Describe the estimator, the parts of the bound that it leaves to be estimated, and its noise draws."""
    estimator = estimator_for(method, spec.estimator)
    if isinstance(estimator, Exact):
        return estimator.describe()

    ends = "" if isinstance(estimator, Counted) else " with prior and reconstruction loss"
    if method.needs.steps:
        ends = " with reconstruction loss" if method.t_min > 0 else ""
    draws = f"{spec.draws} {estimator.draws_are} x {spec.replicates} replicates, noise seed {spec.seed}"
    return f"{estimator.describe()}{ends}, {draws}"


def normalize_protocol(text: str) -> str:
    """Translate a protocol, or the name of an estimator, from the words of earlier versions to those of today.

    Text in the words of today is returned unchanged.
    """
    for pattern, replacement in OLD_WORDS:
        text = re.sub(pattern, replacement, text)
    return text
