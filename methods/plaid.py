"""The public import path of `methods.continuous.plaid`: plug-ins may rely on it."""

from methods.continuous.plaid import HIDDEN, WARM_UP, WIDTH, Line, Plaid, Schedule

__all__ = ["HIDDEN", "WARM_UP", "WIDTH", "Line", "Plaid", "Schedule"]
