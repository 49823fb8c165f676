"""What each metric is: its unit, its scale, which direction is better, and how tables title and round it.

A metric with brackets, such as `integral[NAME]` or `power[TOKEN]`, is a part of the metric before them.
"""

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "nearer"]  # nearer: to the value of held-out text, the control "data"
Digits = Literal["error", "count", "compact", "plain", "scientific", "mebibytes"]
Scale = Literal[
    "linear", "log", "square", "reciprocal"
]  # what is averaged over seeds: the number, or this function of it
Step = Literal["token", "text"]  # the smallest change of one text: one of its tokens, or the text as a whole


@dataclass(frozen=True)
class Metric:
    """One metric of the tidy table."""

    name: str
    unit: str = ""
    better: Better | None = None  # None: a cost or a description, not a score
    title: str = ""  # the first line of its header in tables
    subtitle: str = ""  # the second line: a unit, or what tells metrics of one title apart
    digits: Digits = "error"  # "error": two significant digits of the standard error
    stages: tuple[str, ...] = ()  # whose result.json holds it as a single number
    scale: Scale = "linear"  # "log": exp of nats, "square": root of a variance, "reciprocal": a rate, from seconds
    step: Step = "token"  # of a metric of texts: it cannot be known more finely


ORDERS = range(1, 5)  # of n-grams

COSTS = (
    Metric("seconds", "s", title="Training", subtitle="seconds", digits="plain", stages=("train", "bound", "estimate")),
    Metric(
        "network_calls",
        title="Network",
        subtitle="calls",
        digits="count",
        stages=("bound", "estimate", "samples", "trajectories"),
    ),
    Metric("seconds_per_sequence", "s", title="Seconds", subtitle="per text", stages=("samples",)),
    Metric(
        "tokens_per_second",
        "tokens/s",
        title="Tokens",
        subtitle="per second",
        digits="compact",
        stages=("train", "samples"),
        scale="reciprocal",
    ),
    Metric(
        "peak_memory_bytes",
        "bytes",
        title="Training",
        subtitle="peak MiB",
        digits="mebibytes",
        stages=("train",),
    ),
    Metric("epochs", title="Training", subtitle="epochs", digits="plain", stages=("train",)),
    Metric("steps", title="Training", subtitle="steps", digits="count", stages=("train",)),
    Metric("flops", "FLOPs", title="Training", subtitle="FLOPs", digits="scientific", stages=("train",)),
    Metric("parameters", title="Parameters", subtitle="total", digits="compact", stages=("train",)),
    Metric(
        "parameters_non_embedding", title="Parameters", subtitle="non-embedding", digits="compact", stages=("train",)
    ),
    Metric("parameters_method", title="Parameters", subtitle="method's own", digits="compact", stages=("train",)),
)
LIKELIHOOD = (
    Metric("bits_per_char", "bits/char", "lower", "Score", "bits per character"),
    Metric("bits_per_byte", "bits/byte", "lower", "Score", "bits per byte"),
    Metric("nats_per_token", "nats/token", "lower", "Bound", "nats per token"),
    Metric("perplexity", "per token", "lower", "Perplexity", "per token", scale="log"),
    Metric("prior_gap", "nats/token", None, "Prior loss", "nats per token"),
    Metric("integral", "nats/token", None, "Diffusion loss", "nats per token"),
    Metric("last_guess", "nats/token", None, "Reconstruction loss", "nats per token"),
    Metric("estimator_sd", "nats/token", None, "Deviation", "per sequence", scale="square"),
    Metric("minus_headline", "nats/token", None, "Difference", "from the first"),
    Metric("variance_ratio", "", "lower", "Variance", "at equal calls"),
    Metric("source_nats_per_token", "nats/token", None, "Source", "nats per token"),
)
QUALITY = (
    Metric("gen_ppl", "per token of the scorer", "lower", "Generative perplexity", "corpus", scale="log"),
    Metric("gen_ppl_mean", "per token of the scorer", "lower", "Generative perplexity", "mean of texts"),
    Metric("sample_nats_per_token", "nats/token", "nearer", "-log p by the source", "nats per token"),
    Metric("unigram_entropy", "nats", "nearer", "Unigram entropy", "nats"),
    *(Metric(f"distinct_{n}", "", "nearer", "Distinct n-grams", f"n = {n}") for n in ORDERS),
    *(Metric(f"rep_{n}", "", "nearer", "Repeated n-grams", f"n = {n}") for n in ORDERS),
    Metric("longest_repeat", "tokens", "nearer", "Longest repeat", "tokens", step="text"),
    *(Metric(f"js_{n}", "bits", "lower", "JS divergence, bits", f"n = {n}") for n in ORDERS),
    Metric("mauve", "", "higher", "MAUVE", step="text"),
    Metric("copied", "", "lower", "Copied", "share"),
)
SAMPLING = (Metric("cut_off_share", title="Clamped draws", subtitle="share", stages=("samples",)),)

METRICS = {metric.name: metric for metric in (*COSTS, *LIKELIHOOD, *QUALITY, *SAMPLING)}
JUDGED: dict[str, Better] = {metric.name: metric.better for metric in QUALITY if metric.better}  # of samples


def unit_of(name: str) -> str:
    """The unit of a metric or of a part of one; "" if it has none, such as parameters that a method learned."""
    metric = METRICS.get(name.partition("[")[0])
    return metric.unit if metric else ""


def scale_of(name: str) -> Scale:
    """The scale on which a metric is averaged over seeds; metrics that are not listed are averaged as they are."""
    metric = METRICS.get(name.partition("[")[0])
    return metric.scale if metric else "linear"


def scalars_of(stage: str) -> list[str]:
    """The metrics that result.json of a stage holds as single numbers."""
    return [metric.name for metric in METRICS.values() if stage in metric.stages]
