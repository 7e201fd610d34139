"""Small models of the tests, under names that open_clip knows once this is imported.

A transformer without batch norm, and `thresher-tiny-32` with a quarter of its text width: most of the time of
a step of that model, and of the bytes of its checkpoints, are those of its vocabulary.
"""

from pathlib import Path

import open_clip

VIT = "test-vit-32"
RESNET = "test-resnet-32"
TINY = "thresher-tiny-32"

for name in (VIT, RESNET):
    open_clip.add_model_config(Path(__file__).parent / f"{name}.json")
