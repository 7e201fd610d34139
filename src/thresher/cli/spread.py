"""Lists of shards behind one option, as a shell makes them of an unquoted pattern."""

from collections.abc import Iterator, Sequence

SHARD_OPTIONS = ("--shards", "--data", "--zeroshot", "--retrieval")
SHARD_ENDINGS = (".tar", ".csv", ".tsv", ".parquet")


def spread(arguments: Sequence[str]) -> list[str]:
    """The arguments with the option repeated before each of several shards that follow it.

    >>> spread(["probe", "pools", "--shards", "0.tar", "1.tar", "--out", "runs.jsonl"])
    ['probe', 'pools', '--shards', '0.tar', '--shards', '1.tar', '--out', 'runs.jsonl']
    """
    return list(_spread(arguments))


def _spread(arguments: Sequence[str]) -> Iterator[str]:
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-"):
            option, values = (argument, 0) if argument in SHARD_OPTIONS else ("", 0)
        elif option and values and argument.lower().endswith(SHARD_ENDINGS):
            yield option
        elif values:
            option = ""
        values += 1
        if argument == option:
            values = 0
        yield argument
