"""Shards for `combine.py`: a noisy pool, a curated set, and labelled rows whose images are in neither."""

import csv
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thresher.data.pairs import Pair, uid_of
from thresher.data.shards import read_pairs

WRONG_SHARE = 0.4
CURATED_SHARE = 0.4
PER_SHARD = 2000
BESIDE = ("cifar10/train", "noto_emoji", "imagenet_sample", "coco_mini/train")
"""Folders whose pairs join the noisy pool."""

Captioned = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class World:
    """Shards of the three sets and the table of labels (uid, label, group = image)."""

    noisy: list[str]
    curated: list[str]
    labelled: list[str]
    labels: Path


def make_world(data: Path, out: Path, seed: int) -> World:
    """Write the shards, once; no image of a labelled row is in the two sets to train on, not even copied."""
    labels = out / "labels.tsv"
    if not labels.exists():
        rows = read_rows(data / "flickr8k" / "match_labels.tsv")
        flickr = [pair for shard in tars(data / "flickr8k") for pair in pairs_of(shard)]
        held = {row["uid"] for row in rows}
        images = {pair.uid: image_of(pair) for pair in flickr}
        copies = {images[uid] for uid in held}
        free = [pair for pair in flickr if pair.uid not in held and image_of(pair) not in copies]
        draw = np.random.default_rng(seed)
        order = draw.permutation(len(free))
        cut = round(CURATED_SHARE * len(free))
        curated = [pair for place in order[:cut] for pair in captioned(free[place])]
        noisy = [pair for place in order[cut:] for pair in captioned(free[place])]
        for folder in BESIDE:
            noisy += [(image_of(p), p.caption) for shard in tars(data / folder) for p in pairs_of(shard)]
        print(
            f"{len(held)} images with {len(rows)} labelled captions held out; curated: {len(curated)} pairs "
            f"of {cut} images, noisy: {len(noisy)} pairs, {len(order) - cut} images of them photographs"
        )
        write_tars(out / "curated", curated)
        write_tars(out / "noisy", with_wrong_captions(noisy, draw))
        write_labelled(out, rows, images)
    return World(
        *(tars(out / name) for name in ("noisy", "curated", "labelled")),
        labels,
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of the table of labels, without those that repeat one."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return list({(row["uid"], row["caption"]): row for row in rows}.values())


def tars(folder: Path) -> list[str]:
    """The tars of a folder in order."""
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def pairs_of(shard: str) -> Iterator[Pair]:
    """The readable pairs of a shard."""
    return (pair for pair in read_pairs(shard) if isinstance(pair, Pair))


def count_pairs(shards: Sequence[str]) -> int:
    """Readable pairs of some shards."""
    return sum(1 for shard in shards for _ in pairs_of(shard))


def image_of(pair: Pair) -> bytes:
    """Bytes of the image."""
    assert pair.image_bytes is not None
    return pair.image_bytes


def captioned(pair: Pair) -> list[Captioned]:
    """The image with each of its captions."""
    return [(image_of(pair), caption) for caption in pair.meta.get("captions") or [pair.caption]]


def with_wrong_captions(pairs: Sequence[Captioned], draw: np.random.Generator) -> list[Captioned]:
    """The pairs in random order, the captions of `WRONG_SHARE` of them dealt out anew."""
    mixed = [pairs[place] for place in draw.permutation(len(pairs))]
    wrong = round(WRONG_SHARE * len(mixed))
    captions = [mixed[place][1] for place in np.roll(np.arange(wrong), 1)]
    mixed[:wrong] = [(image, caption) for (image, _), caption in zip(mixed[:wrong], captions, strict=True)]
    return [mixed[place] for place in draw.permutation(len(mixed))]


def write_labelled(out: Path, rows: Sequence[dict[str, str]], images: dict[str, bytes]) -> None:
    """Each labelled row as a pair of its own, and what its label is."""
    pairs = [(images[row["uid"]], row["caption"]) for row in rows]
    write_tars(out / "labelled", pairs)
    lines = ["uid\tlabel\tgroup"]
    lines += [
        f"{uid_of(image, caption)}\t{row['label']}\t{row['uid']}"
        for (image, caption), row in zip(pairs, rows, strict=True)
    ]
    (out / "labels.tsv").write_text("\n".join(lines) + "\n")


def write_tars(folder: Path, pairs: Sequence[Captioned]) -> None:
    """Write pairs as WebDataset tars; their uids are derived from image and caption."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard, start in enumerate(range(0, len(pairs), PER_SHARD)):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number, (image, caption) in enumerate(pairs[start : start + PER_SHARD]):
                members = {
                    "png" if image.startswith(b"\x89PNG") else "jpg": image,
                    "txt": caption.encode(),
                    "json": json.dumps({"key": f"{shard:05d}{number:04d}"}).encode(),
                }
                for extension, content in members.items():
                    info = tarfile.TarInfo(f"{shard:05d}{number:04d}.{extension}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
