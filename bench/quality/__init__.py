"""Quality of drawn texts: what is measured of them without and with a scorer, and the controls they are judged against.

`measure` gives every metric that needs no scorer, `gen_ppl` and `gen_ppl_mean` those of a scorer's nats, `mauve.mauve`
that of its features; `controls` makes the rows beside which a metric is read, and `JUDGED` says how it is read.
"""

from bench.quality.controls import CONTROLS, controls
from bench.quality.order import JUDGED, Better
from bench.quality.perplexity import gen_ppl, gen_ppl_mean
from bench.quality.spec import QualitySpec
from bench.quality.statistics import measure

__all__ = ["CONTROLS", "JUDGED", "Better", "QualitySpec", "controls", "gen_ppl", "gen_ppl_mean", "measure"]
