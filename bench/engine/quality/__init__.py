"""Quality of samples: metrics with and without a scorer, and the controls that they are read beside.

`text_metrics` returns every metric that needs no scorer, `gen_ppl`, `gen_ppl_mean` and `mauve.mauve` those of a scorer;
`controls` makes the control texts; `JUDGED` says which direction of a metric is better.
"""

from bench.engine.metric_definitions import JUDGED, Better
from bench.engine.quality.controls import CONTROLS, controls
from bench.engine.quality.generative_perplexity import gen_ppl, gen_ppl_mean
from bench.engine.quality.settings import QualitySpec
from bench.engine.quality.text_statistics import text_metrics

__all__ = ["CONTROLS", "JUDGED", "Better", "QualitySpec", "controls", "gen_ppl", "gen_ppl_mean", "text_metrics"]
