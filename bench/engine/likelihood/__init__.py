"""Bounds on the likelihood, their estimators and their errors."""
