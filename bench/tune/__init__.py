"""Equal tuning: every arm of a suite gets the same number of trials under the same budget, on a split and with seeds
that are never reported.

A trial is a cell like any other. Optuna (arXiv:1907.10902) keeps a study for each arm and chooses the next trial; the
winners stand in a lock file beside the suite, from which `bench run` takes them.
"""
