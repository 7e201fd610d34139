"""How other tools lay out embeddings: which vectors stand beside which table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from thresher.data.files.location import filesystem, is_remote
from thresher.data.patterns import expand_files
from thresher.errors import InputError
from thresher.scores.imported.parquet_files import BadFile, Sources, find
from thresher.scores.imported.vectors import Vectors, look_at_vectors

CLIP_RETRIEVAL = ("metadata", "img_emb", "text_emb")
"""Folders of clip-retrieval: tables, and the vectors of images and texts."""

VECTORS: Mapping[str, tuple[str, str]] = {
    "l14": ("ViT-L-14", "openai"),
    "b32": ("ViT-B-32", "openai"),
}
"""Vectors of DataComp's `.npz` files, `NAME_img` and `NAME_txt` -> model and weights that made them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the vectors of one table lie: (file, array of an `.npz`, or an empty name for an `.npy`)."""

    table: str
    image: tuple[str, str]
    text: tuple[str, str]


def layouts_of(sources: Sequence[str], vectors: str) -> tuple[str, list[Layout]]:
    """The tool that wrote the sources, `datacomp` or `clip-retrieval`, and its tables in a fixed order.

    A folder with the folders `metadata`, `img_emb` and `text_emb` is clip-retrieval's; any other name means
    Parquet files with an `.npz` of the same name beside each.

    Raises:
        InputError: something is absent, or the sources are of both tools.
    """
    if not sources:
        raise InputError("nothing is named to import; name a folder of metadata, or one of clip-retrieval")
    folders = [source for source in sources if _is_folder(_below(source, CLIP_RETRIEVAL[0]))]
    if folders and len(folders) < len(sources):
        other = next(source for source in sources if source not in folders)
        raise InputError(
            f"{folders[0]} is a folder of clip-retrieval and {other} is not; import them into two folders"
        )
    if folders:
        return "clip-retrieval", [layout for folder in folders for layout in _clip_retrieval(folder)]
    return "datacomp", [
        Layout(path, (_beside(path), f"{vectors}_img"), (_beside(path), f"{vectors}_txt"))
        for path in find(sources)
    ]


def _clip_retrieval(folder: str) -> list[Layout]:
    numbered = []
    for path in expand_files([_below(folder, CLIP_RETRIEVAL[0])], ".parquet"):
        match = re.fullmatch(r"metadata_(\d+)\.parquet", path.rpartition("/")[2])
        if match is not None:
            numbered.append((int(match[1]), match[1], path))
    if not numbered:
        raise InputError(
            f"{folder}/metadata holds no metadata_0.parquet; name a folder that clip-retrieval wrote"
        )
    image, text = (_below(folder, name) for name in CLIP_RETRIEVAL[1:])
    for name, what in ((image, "images"), (text, "texts")):
        if not _is_folder(name):
            raise InputError(
                f"there are no vectors of {what} ({name} is absent); image and text are imported "
                "together, so run clip-retrieval with both"
            )
    return [
        Layout(path, (f"{image}/img_emb_{digits}.npy", ""), (f"{text}/text_emb_{digits}.npy", ""))
        for _, digits, path in sorted(numbered)
    ]


def _beside(table: str) -> str:
    return re.sub(r"\.parquet$", ".npz", table, flags=re.IGNORECASE)


def _below(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _is_folder(path: str) -> bool:
    if is_remote(path):
        fs, inner = filesystem(path)
        return bool(fs.isdir(inner))
    return Path(path).is_dir()


def files_of(layout: Layout) -> tuple[str, ...]:
    """The files of vectors that belong to the table."""
    return tuple(dict.fromkeys((layout.image[0], layout.text[0])))


def vectors_of(
    seen: Sources, layouts: Sequence[Layout]
) -> tuple[Sources, dict[int, tuple[Vectors, Vectors]]]:
    """The vectors of the files that fit them, by number; files whose vectors do not are refused with them."""
    refused, found = dict(seen.refused), {}
    for source in seen.usable:
        layout = layouts[source.number]
        try:
            image, text = look_at_vectors(*layout.image), look_at_vectors(*layout.text)
            for array in (image, text):
                if array.rows != source.rows:
                    raise BadFile(
                        f"{array.shown} has {array.rows} rows where the table has {source.rows}; they belong "
                        "together by their order, so nothing of it is taken"
                    )
            if image.dim != text.dim:
                raise BadFile(f"{image.shown} has {image.dim} dimensions, {text.shown} has {text.dim}")
        except BadFile as error:
            refused[source.number] = str(error)
        else:
            found[source.number] = (image, text)
    usable = [source for source in seen.usable if source.number in found]
    return replace(seen, usable=usable, refused=refused), found


def one_dim(found: Mapping[int, tuple[Vectors, Vectors]]) -> int:
    """The number of dimensions that all vectors have.

    Raises:
        InputError: they have several.
    """
    images = [image for image, _ in found.values()]
    other = next((image for image in images if image.dim != images[0].dim), None)
    if other is not None:
        raise InputError(
            f"{images[0].shown} has {images[0].dim} dimensions and {other.shown} has {other.dim}; vectors of "
            "several models go into several folders"
        )
    return images[0].dim
