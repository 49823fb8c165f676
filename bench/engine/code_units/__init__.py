"""The definitions of the project by content: parsed, resolved and hashed, with the standard library alone."""
