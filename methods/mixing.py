"""The public import path of `methods.discrete.mixing`: plug-ins may rely on it."""

from methods.discrete.mixing import ContinuousMixing, Mixing, excess, xlogratio

__all__ = ["ContinuousMixing", "Mixing", "excess", "xlogratio"]
