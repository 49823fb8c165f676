"""Terminal views of plans, methods, tuning and comparisons."""
