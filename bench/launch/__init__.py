"""How a plan is carried out: the driver and its worker processes."""
