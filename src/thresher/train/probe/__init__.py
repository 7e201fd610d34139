"""Probe runs: short trainings on pools and mixes of them."""
