"""The report: one self-contained page about what a run left behind."""

from thresher.report.page import write_report

__all__ = ["write_report"]
