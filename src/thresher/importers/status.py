"""What there is to say about an import, as sentences with the remedy."""

from thresher.importers.naming import NO_SUCH_KEY, NO_SUCH_UID
from thresher.importers.pieces import Filled


def status_of(filled: Filled, num_pairs: int, noun: str) -> tuple[str, ...]:
    """A sentence for each thing that a reader should act on.

    Args:
        filled: What was imported.
        num_pairs: Pairs of the shards; 0 where none are given.
        noun: What was imported, in one word.
    """
    said: list[str] = []
    if filled.unreadable:
        path, reason = next(iter(filled.unreadable.items()))
        said.append(
            f"{len(filled.unreadable)} of {filled.files} files were not taken, or not whole; the first is "
            f"{path} ({reason}); mend them and run again"
        )
    if filled.unreadable_shards:
        shard, reason = next(iter(filled.unreadable_shards.items()))
        said.append(
            f"{len(filled.unreadable_shards)} shards gave no pairs, the first is {shard} ({reason}); mend "
            "them and import into another folder"
        )
    absent = sum(filled.quarantine.get(reason, 0) for reason in (NO_SUCH_UID, NO_SUCH_KEY))
    if not filled.pairs:
        said.append(f"no {noun} were imported; look at the quarantine for the reasons")
    elif absent:
        said.append(
            f"{absent:,} of {filled.rows:,} rows ({100 * absent / filled.rows:.1f}%) are about pairs that "
            "the shards do not hold; they are in the quarantine, and pools are cut from the others"
        )
    if filled.missing:
        said.append(
            f"{filled.missing:,} of {num_pairs:,} pairs of the shards have no row in the tables; they are in "
            "the quarantine and will be in no pool"
        )
    return tuple(said)
