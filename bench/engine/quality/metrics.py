"""Which way each metric of quality is judged: reports mark what a control wins, tables mark the best."""

from typing import Literal

Better = Literal["lower", "higher", "nearer"]  # nearer: to the value of held-out text, the row "data"

JUDGED: dict[str, Better] = {
    "gen_ppl": "lower",
    "gen_ppl_mean": "lower",
    "sample_nats_per_token": "nearer",
    "unigram_entropy": "nearer",
    **{f"distinct_{n}": "nearer" for n in range(1, 5)},
    **{f"rep_{n}": "nearer" for n in range(1, 5)},
    "longest_repeat": "nearer",
    **{f"js_{n}": "lower" for n in range(1, 5)},
    "mauve": "higher",
    "copied": "lower",
}
