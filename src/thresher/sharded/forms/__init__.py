"""Forms in which scorers want an image: measured, or with its text covered."""
