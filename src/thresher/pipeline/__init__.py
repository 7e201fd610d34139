"""All stages as one run: the config, the stages, and an estimate of what they take."""
