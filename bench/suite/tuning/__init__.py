"""What a suite says about tuning: its settings, its search space and its lock file."""
