"""Gaussian diffusion of embeddings."""
