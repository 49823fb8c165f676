"""The self-contained page of a report."""
