"""Shards of synthetic scenes in which some images repeat others."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.curate.balance.planted import write_embeddings
from tests.data.bad_pool import pair_members, write_tar
from tests.small_pool import uid
from thresher.data.files.atomic import write_json
from thresher.pipeline.scenes import draw_scene, render

KINDS = ("exact", "resized", "encoded", "cropped")
SIDE = 96
FIRST_REPEAT = 1000


def scene(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return render(draw_scene(random), random).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def jpeg_of(image: Image.Image, quality: int = 90) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def repeat_of(image: Image.Image, kind: str) -> bytes:
    """The image as another pair may have it."""
    if kind == "exact":
        return jpeg_of(image)
    if kind == "resized":
        return jpeg_of(image.resize((SIDE * 2 // 3, SIDE * 2 // 3), Image.Resampling.LANCZOS))
    if kind == "encoded":
        return jpeg_of(image, 75)
    edge = SIDE // 10
    return jpeg_of(image.crop((edge, edge, SIDE - edge, SIDE - edge)))


def planted(num_scenes: int, every: int = 2) -> tuple[dict[int, bytes], dict[str, dict[int, int]]]:
    """Images by number, and for each kind of repeat which number repeats which scene."""
    scenes = [scene(number) for number in range(num_scenes)]
    images = {number: jpeg_of(image) for number, image in enumerate(scenes)}
    repeats: dict[str, dict[int, int]] = {kind: {} for kind in KINDS}
    for place, kind in enumerate(KINDS):
        for number in range(place % every, num_scenes, every):
            again = FIRST_REPEAT * (place + 1) + number
            images[again] = repeat_of(scenes[number], kind)
            repeats[kind][again] = number
    return images, repeats


def write_pool(folder: Path, images: dict[int, bytes], order: list[int], per_shard: int = 40) -> list[str]:
    """Tar files with the images in that order; image n has uid(n)."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for start in range(0, len(order), per_shard):
        members = []
        for number in order[start : start + per_shard]:
            members += pair_members(f"{number:09d}", images[number], f"scene {number}", uid(number))
        path = folder / f"{start // per_shard:05d}.tar"
        write_tar(path, members)
        shards.append(str(path))
    return shards


def embedded(folder: Path, vectors: dict[int, list[float]], model: str = "f") -> Path:
    """Embeddings of pairs by number, as `thresher embed` leaves them."""
    write_embeddings(folder, np.array(list(vectors.values())), [uid(number) for number in vectors], parts=2)
    content = json.loads((folder / "embeddings.json").read_text())
    write_json(folder / "embeddings.json", content | {"fingerprint": model})
    return folder
