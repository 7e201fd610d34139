"""Losses as functions of the shares of domains: the model, its tuning, and which runs to buy for it."""
