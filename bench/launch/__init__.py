"""How a plan is carried out: job files, workers, and launchers, one file each (a cluster's stands beside the local)."""
