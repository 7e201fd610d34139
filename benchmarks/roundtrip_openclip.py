"""Are our subset shards read by open_clip's own loader, every pair, caption and byte?

    python benchmarks/roundtrip_openclip.py --data DIR [--venv DIR]

Writes a subset of Flickr8k (DIR/flickr8k), some pairs twice or three times, as shards, and reads it with
`open_clip_train.data.get_wds_dataset` (captions, decoded pixels) and with its tar reader (bytes as stored).
That loader fails with webdataset 0.2.111 and later; --venv makes an environment in DIR that has
webdataset 0.2.86 and takes all else from this one. Without it, what is installed here is tried.
"""

import argparse
import hashlib
import json
import site
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

PACKAGES = ("webdataset==0.2.86", "pandas")
UNIQUE = 300
PAIRS_PER_SHARD = 100


def main() -> None:
    """Write, read and compare; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, help="folder with flickr8k/")
    parser.add_argument("--venv", type=Path, help="folder of the environment to make, or made before")
    parser.add_argument(
        "--read", type=Path, help=argparse.SUPPRESS
    )  # what the other environment is called with
    arguments = parser.parse_args()
    if arguments.read is not None:
        print(json.dumps(read(arguments.read)))
        return
    if arguments.data is None:
        parser.error("--data is needed: the folder with flickr8k/")
    python = make_environment(arguments.venv) if arguments.venv else Path(sys.executable)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "subset"
        expected = write_shards(sorted((arguments.data / "flickr8k").glob("*.tar"))[:2], folder)
        done = subprocess.run([python, __file__, "--read", str(folder)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"open_clip's loader fails here: {done.stderr.strip().splitlines()[-1]}")
        found = json.loads(done.stdout.splitlines()[-1])
    print(f"webdataset {found['webdataset']}, open_clip {found['open_clip']}")
    whole = True
    for name in ("pairs", "stored"):
        missing = Counter(map(tuple, expected[name])) - Counter(map(tuple, found[name]))
        extra = Counter(map(tuple, found[name])) - Counter(map(tuple, expected[name]))
        what = "captions and pixels through get_wds_dataset" if name == "pairs" else "bytes as stored"
        read_of_drawn = f"{len(found[name])} read of {len(expected[name])} drawn"
        unique = len(set(map(tuple, expected[name])))
        print(f"{what}: {read_of_drawn} ({unique} unique), {missing.total()} missing, {extra.total()} extra")
        whole = whole and not missing and not extra
    print("all agree" if whole else "they do not agree")
    sys.exit(not whole)


def make_environment(folder: Path) -> Path:
    """The python of an environment with `PACKAGES`, which sees everything that is installed here."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=False, symlinks=True)
        inside = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
        (inside / "parent.pth").write_text("\n".join(lines) + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def write_shards(sources: list[Path], folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """Write the subset; the pairs that a reader has to find, with their repeats."""
    import pyarrow as pa

    from thresher.curate.subset.write import write_subset
    from thresher.data.pairs import Pair
    from thresher.data.shards import read_pairs

    pairs = [pair for source in sources for pair in read_pairs(str(source)) if isinstance(pair, Pair)]
    chosen = pairs[:: max(1, len(pairs) // UNIQUE)][:UNIQUE]
    repeats = [1 + (place % 7 == 0) + (place % 21 == 0) for place in range(len(chosen))]
    columns = {"uid": [pair.uid for pair in chosen], "pool": ["all"] * len(chosen)}
    table = pa.table({**columns, "repeats": pa.array(repeats, pa.int32())})
    shards = list(map(str, sources))
    write_subset(table, folder, format="shards", shards=shards, pairs_per_shard=PAIRS_PER_SHARD)
    expected: dict[str, list[tuple[str, ...]]] = {"pairs": [], "stored": []}
    for pair, times in zip(chosen, repeats, strict=True):
        assert pair.image_bytes is not None
        expected["pairs"] += [(pair.caption, pixels_of(pair.image_bytes))] * times
        stored = digest(pair.image_bytes), digest(pair.caption.encode())
        expected["stored"] += [stored] * times
    return expected


def read(folder: Path) -> dict[str, object]:
    """What open_clip's loader finds in the shards of a folder; needs an old webdataset."""
    import open_clip
    import webdataset
    from open_clip_train.data import get_wds_dataset, tarfile_to_samples_nothrow

    shards = sorted(map(str, folder.glob("*.tar")))
    sizes = json.loads((folder / "sizes.json").read_text())
    settings = SimpleNamespace(
        train_data="::".join(shards),
        train_num_samples=sum(sizes.values()),
        train_data_upsampling_factors=None,
        dataset_resampled=False,
        batch_size=1,
        workers=0,
        world_size=1,
        seed=0,
    )
    data = get_wds_dataset(
        settings, lambda image: digest(image.tobytes()), is_train=True, tokenizer=lambda text: [text]
    )
    pairs = [
        (text, image) for images, texts in data.dataloader for image, text in zip(images, texts, strict=True)
    ]
    samples = tarfile_to_samples_nothrow([{"url": shard} for shard in shards])
    stored = [(digest(sample["jpg"]), digest(sample["txt"])) for sample in samples]
    versions = {"webdataset": webdataset.__version__, "open_clip": open_clip.__version__}
    return {**versions, "pairs": pairs, "stored": stored}


def digest(data: bytes) -> str:
    """A short hash of bytes."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def pixels_of(image: bytes) -> str:
    """The hash of an image's pixels, decoded as the loader decodes them."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(image)) as opened:
        return digest(opened.convert("RGB").tobytes())


if __name__ == "__main__":
    main()
