"""Quality of drawn texts: what is measured of them without and with a scorer, and the controls they are judged against.

`measure` gives every metric that needs no scorer, `gen_ppl` and `gen_ppl_mean` those of a scorer's nats, `mauve.mauve`
that of its features; `controls` makes the rows beside which a metric is read, and `JUDGED` says how it is read.
"""

from bench.engine.quality.controls import CONTROLS, controls
from bench.engine.quality.generative_perplexity import gen_ppl, gen_ppl_mean
from bench.engine.quality.metrics import JUDGED, Better
from bench.engine.quality.settings import QualitySpec
from bench.engine.quality.text_statistics import measure

__all__ = ["CONTROLS", "JUDGED", "Better", "QualitySpec", "controls", "gen_ppl", "gen_ppl_mean", "measure"]
