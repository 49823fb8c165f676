"""The public import path of `methods.masked.genmd4`: plug-ins may rely on it."""

from methods.masked.genmd4 import GenMd4

__all__ = ["GenMd4"]
