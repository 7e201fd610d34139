"""Where a stage's work runs: on this machine, or on a cluster."""
