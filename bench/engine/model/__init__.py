"""The network, its head and loss, and checkpoints."""
