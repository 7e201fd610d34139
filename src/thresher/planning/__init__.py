"""From finished runs to a plan: the ledger, the laws, the plan; nothing here loads torch."""
