"""The public import path of `methods.discrete.uniform`: plug-ins may rely on it."""

from methods.discrete.uniform import Udlm, UniformNoise

__all__ = ["Udlm", "UniformNoise"]
