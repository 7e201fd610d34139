"""The report: one self-contained page about what a run left behind."""
