"""Files and where they lie: written whole or not at all, locked, quarantined, at any address."""
