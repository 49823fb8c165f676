"""Equal tuning: every arm of a suite gets the same number of trials under the same budget, on a split and with seeds
that are never reported.

A trial is a cell like any other. Optuna keeps the study of each arm and says what is tried next (arXiv:1907.10902); the
winners stand in a lock file beside the suite, from which `bench run` takes them.
"""
