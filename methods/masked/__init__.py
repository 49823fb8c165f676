"""Diffusion into masks."""
