"""The public import path of `methods.discrete.gidd`: plug-ins may rely on it."""

from methods.discrete.gidd import CLIP, Exponent, Gidd, Share

__all__ = ["CLIP", "Exponent", "Gidd", "Share"]
