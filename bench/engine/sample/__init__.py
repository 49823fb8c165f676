"""Sampling: the sampler, its state, and the policies that it follows."""
