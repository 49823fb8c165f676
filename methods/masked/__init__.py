"""Masked (absorbing) diffusion: MDLM, MD4 and GenMD4."""
