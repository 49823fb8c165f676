"""Discrete diffusion with uniform noise, alone or mixed with masks."""
