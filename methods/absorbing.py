"""The public import path of `methods.masked.absorbing`: plug-ins may rely on it."""

from methods.masked.absorbing import Absorbing, Md4, Mdlm, Steps
from methods.method import point_mass, substitute

__all__ = ["Absorbing", "Md4", "Mdlm", "Steps", "point_mass", "substitute"]
