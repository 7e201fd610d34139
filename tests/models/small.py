"""A small transformer without batch norm, under a name that open_clip knows once this is imported."""

from pathlib import Path

import open_clip

VIT = "test-vit-32"
TINY = "thresher-tiny-32"

open_clip.add_model_config(Path(__file__).parent / f"{VIT}.json")
