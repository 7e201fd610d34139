"""The settings of a whole run: sections, the file they are read from, the file to start from."""

from thresher.config.load import load_config, load_training_config
from thresher.config.sections import (
    Config,
    Cut,
    Evaluate,
    Filter,
    Fit,
    Plan,
    Probe,
    Report,
    Score,
    Shards,
    Subset,
    Train,
    TrainingConfig,
)
from thresher.config.template import commented_config

__all__ = [
    "Config",
    "Cut",
    "Evaluate",
    "Filter",
    "Fit",
    "Plan",
    "Probe",
    "Report",
    "Score",
    "Shards",
    "Subset",
    "Train",
    "TrainingConfig",
    "commented_config",
    "load_config",
    "load_training_config",
]
