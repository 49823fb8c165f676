"""What is known: records become tables."""
