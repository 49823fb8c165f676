"""Definitions of the project: parsed, resolved and hashed by content, with the standard library alone."""
