"""Reads a shard of any kind: pairs, and rejects for whatever cannot be a pair."""

from collections.abc import Iterator

from thresher.data.cells import allowed
from thresher.data.files.location import fingerprint, is_remote
from thresher.data.folder import fingerprint_folder, read_folder
from thresher.data.pairs import Pair, Reject
from thresher.data.patterns import kind_of
from thresher.data.table import read_table
from thresher.data.tarshard import read_tar


def state_of_shard(shard: str) -> str:
    """What changes when a shard does: size and time of its file, or of each file of a folder.

    For a table, what its cells may name stands behind it.

    Raises:
        OSError: the shard cannot be looked at.
    """
    if kind_of(shard) == "folder":
        return fingerprint_folder(shard)
    return " ".join([fingerprint(shard), *allowed(shard)])


def read_pairs(
    shard: str,
    *,
    with_images: bool = True,
    exclude: frozenset[str] = frozenset(),
    need_caption: bool = True,
) -> Iterator[Pair | Reject]:
    """Every pair of a shard (one name from `expand`) in a fixed order, and a reject for whatever is no pair.

    Bad content never raises: a shard that cannot be read at all is one reject with an empty key. Of pairs
    with equal uids the first is kept. Pairs whose uid is in `exclude` come as rejects of the stage `exclude`.
    Without images the bytes are read only where a uid has to be derived from them. Without `need_caption` a
    missing `.txt` is an empty caption (labelled images of tar files and folders), and equal images all come.

    Raises:
        OSError: a remote file system fails in a way that trying again may mend.
        InputError: the package of a remote protocol is not installed.
    """
    seen: set[int] = set()
    empty = True
    try:
        for item in _read(shard, with_images=with_images, need_caption=need_caption):
            empty = False
            if not need_caption:
                seen.clear()
            yield item if isinstance(item, Reject) else _admit(item, seen, exclude)
    except OSError as error:
        if is_remote(shard) and not isinstance(error, FileNotFoundError | PermissionError):
            raise
        yield Reject(shard, "", None, "read", f"cannot be read: {error.strerror or type(error).__name__}", 0)
        return
    if empty:
        yield Reject(shard, "", None, "read", "the shard holds no pairs", 0)


def _read(shard: str, *, with_images: bool, need_caption: bool) -> Iterator[Pair | Reject]:
    kind = kind_of(shard)
    if kind == "table":
        return read_table(shard, with_images=with_images)
    reader = {"tar": read_tar, "folder": read_folder}[kind]
    return reader(shard, with_images=with_images, need_caption=need_caption)


def _admit(pair: Pair, seen: set[int], exclude: frozenset[str]) -> Pair | Reject:
    number = int(pair.uid, 16)
    place = pair.image.offset
    if pair.uid in exclude:
        return Reject(
            pair.shard, pair.key, pair.uid, "exclude", "the uid is in the list of excluded pairs", place
        )
    if number in seen:
        reason = "duplicate uid: an earlier pair of this shard has it"
        return Reject(pair.shard, pair.key, pair.uid, "read", reason, place)
    seen.add(number)
    return pair
