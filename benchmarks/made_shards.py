"""Synthetic shards for benchmarks that are about the machinery and not about the pictures."""

import hashlib
import io
import random
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

NUM_IMAGES = 256
WORDS = ("a", "red", "old", "small", "bright", "dog", "bird", "house", "river", "bridge", "on", "with")


def uid_of(number: int) -> str:
    """The uid of pair `number`."""
    return hashlib.md5(f"made pair {number}".encode(), usedforsecurity=False).hexdigest()


def make_shards(folder: Path, pairs: int, shards: int, side: int = 64, seed: int = 0) -> list[str]:
    """Tar files with `pairs` pairs in all; an image is one of a few hundred, a caption some random words.

    Shards that are there already are left as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = [_jpeg(number, side) for number in range(NUM_IMAGES)]
    names = []
    for shard in range(shards):
        path = folder / f"{shard:05d}.tar"
        names.append(str(path))
        if not path.exists():
            chosen = range(pairs * shard // shards, pairs * (shard + 1) // shards)
            _write(path, chosen, images, random.Random(seed + shard))
    return names


def _write(path: Path, numbers: range, images: list[bytes], rng: random.Random) -> None:
    temporary = path.with_suffix(".part")
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            caption = " ".join(rng.choices(WORDS, k=rng.randint(3, 12)))
            members = {
                "jpg": images[rng.randrange(len(images))],
                "txt": caption.encode(),
                "json": f'{{"uid": "{uid_of(number)}"}}'.encode(),
            }
            for ext, data in members.items():
                info = tarfile.TarInfo(f"{number:09d}.{ext}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    temporary.rename(path)


def _jpeg(number: int, side: int) -> bytes:
    """A smooth picture of its own."""
    rng = np.random.default_rng(number)
    small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    return stream.getvalue()
