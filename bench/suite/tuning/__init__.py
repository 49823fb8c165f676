"""Tuning in a suite file: its settings, its search space and its lock file."""
