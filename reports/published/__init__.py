"""Published numbers, beside what was measured here."""
