"""Scorers of pairs, one a file; `SCORERS` names them."""
