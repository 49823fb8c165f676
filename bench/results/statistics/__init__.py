"""Pooled estimates, paired differences, tests and ranks."""
