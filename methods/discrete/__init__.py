"""Diffusion into uniform noise, and mixtures of noise and masks."""
