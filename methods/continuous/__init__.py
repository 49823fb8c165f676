"""Gaussian diffusion of token embeddings."""
