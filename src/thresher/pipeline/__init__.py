"""The whole way as one run: its config, its stages, and what it will take."""
