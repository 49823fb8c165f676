"""The public import path of `methods.discrete.sedd`: plug-ins may rely on it."""

from methods.discrete.sedd import EPS, SeddAbsorb, SeddUniform, total_noise

__all__ = ["EPS", "SeddAbsorb", "SeddUniform", "total_noise"]
