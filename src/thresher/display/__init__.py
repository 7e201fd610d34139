"""Results as people read them: text for a terminal, HTML for a notebook; nothing is computed here."""
