"""The ledger of finished runs, and the tables it is read from."""
