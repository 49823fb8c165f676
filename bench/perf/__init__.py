"""How fast and how large: measurements of the harness itself."""
