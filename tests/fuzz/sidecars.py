"""What stands beside an image: its json, its caption and its label, whatever somebody wrote there."""

import contextlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any

from tests.data.bad_pool import write_tar
from tests.fuzz.case import Case, must, sentence
from tests.fuzz.damage import damaged
from tests.fuzz.scored import check_shard
from tests.fuzz.tars import image
from tests.small_pool import caption, uid
from thresher.data.pairs import Pair
from thresher.errors import InputError
from thresher.models.evaluation.sets import load_tasks, prepare_tasks
from thresher.models.evaluation.settings import Evaluate
from thresher.models.towers import load_towers

DIGITS = "9" * 5000
RAW = (
    *(
        DIGITS,
        "-" + DIGITS,
        "1e300",
        "1e309",
        "-1e309",
        "NaN",
        "Infinity",
        "-0.0",
        "1.5",
        "0",
        "-1",
        "1e-320",
        "123456789012345678901",
    ),
    *(
        "null",
        "true",
        "[]",
        "{}",
        '""',
        '"en"',
        '"400"',
        '"４００"',
        '"1e5"',
        '"\\ud800"',
        '"\\u0000"',
        '"en\\n"',
        '" "',
        f'"{DIGITS}"',
    ),
    *(
        "[" * 3000 + "]" * 3000,
        '{"a":' * 3000 + "1" + "}" * 3000,
        "[" * 90000,
        '["en", null]',
        '[["a"]]',
        '{"en": 1}',
        "01",
        "'x'",
        "",
    ),
)
KEYS = (
    "uid",
    "original_width",
    "original_height",
    "width",
    "height",
    "language",
    "LANGUAGE",
    "key",
    "caption",
    "captions",
    "cls",
    "label",
    "url",
    "sha256",
    "",
    "\\ud800",
)
CAPTIONS = (
    *(
        b"",
        b" ",
        b"\n",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbfa red dog\r\n",
        b"\xff\xfea\0",
        b"a\0b",
        b"\x80",
        b"\xed\xa0\x80",
        "é\u202e".encode(),
    ),
    *(
        b"x" * 10_000,
        b"x" * 10_001,
        "é".encode() * 10_000,
        "𝄞".encode() * 10_001,
        b"x" * 50_000,
        b"a\rb\x0bc\x1cd",
        b"\r\n\r\nred",
        b"a dog" + b"\n" * 1000,
    ),
    *(b"a\xef\xbb\xbfb", "\u2028".encode(), b"<|endoftext|>" * 50, b"\x1b[2J dog", "\ufdd0 dog".encode()),
)
LABELS = (
    b"0",
    b"1",
    b"-1",
    b"007",
    b"9" * 18,
    b"9" * 19,
    DIGITS.encode(),
    b"1.0",
    b"",
    b"\xff",
    b"red",
    b" 1 \n",
    b"\xef\xbb\xbf1",
    "٣".encode(),
    b"1e3",
    b"None",
)


def sidecars(case: Case) -> None:
    random = case.random
    files = []
    for number in range(random.randint(1, 5)):
        files.append((f"{number:05d}.jpg", image(number)))
        files.append(
            (
                f"{number:05d}.txt",
                odd_caption(random, number) if random.random() < 0.4 else caption(number).encode(),
            )
        )
        if random.random() < 0.8:
            files.append((f"{number:05d}.json", odd_json(random, number)))
        if random.random() < 0.4:
            label = random.choice(LABELS)
            files.append((f"{number:05d}.cls", damaged(random, label) if random.random() < 0.2 else label))
    if random.random() < 0.7:
        shard = case.inside / "00000.tar"
        write_tar(shard, files)
    else:
        shard = case.inside / "folder"
        shard.mkdir()
        for name, content in files:
            (shard / name).write_bytes(content)
        for _ in range(random.choice((0, 0, 1, 3))):
            add_odd_file(random, shard)
    case.seal()
    if random.random() < 0.12:
        evaluate(case, str(shard))
        return
    scorers = random.choice((("caption",), ("basic",), ("caption", "image:feature=short")))
    items = check_shard(case, shard, scorers=scorers)
    read = {item.key: item for item in items}
    by_name = dict(files)
    for key in sorted({name.partition(".")[0] for name, _ in files}):
        expected = plainly(by_name[f"{key}.txt"], by_name.get(f"{key}.json"))
        item = read[key]
        if expected is None:
            must(not isinstance(item, Pair), f"{key} is no pair, and was taken")
        elif not isinstance(item, Pair):
            must("duplicate uid" in item.reason, f"{key} is refused: {item.reason}")
        else:
            must(item.caption == expected, f"{key} has the caption {item.caption[:50]!r}")


def add_odd_file(random: Random, folder: Path) -> None:
    """Something in a folder of images that is no part of its pairs, or a pair by an odd name."""
    below = folder / random.choice(("", "", "a", "b/c", "é", ".hidden", "x.jpg"))
    below.mkdir(parents=True, exist_ok=True)
    match random.randrange(6):
        case 0:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(below / f"pipe{random.choice(('.jpg', '.txt', '.tar', ''))}")
        case 1:
            (below / f"folder{random.choice(('.jpg', '.txt', '.json', ''))}").mkdir(exist_ok=True)
        case 2:
            with contextlib.suppress(FileExistsError):
                (below / random.choice(("link.jpg", "link.txt"))).symlink_to(
                    random.choice(("nowhere", "link.jpg", "."))
                )
        case _:
            stem = random.choice(
                ("a b", "a\nb", "\udcff", "é", "e\u0301", "a.b", " ", "'", "x" * 240, "-", "\u202e", "%s")
            )
            for ext in random.sample((".jpg", ".txt", ".json", ".JPG", ".png", ".cls"), random.randint(1, 4)):
                (below / f"{stem}{ext}").write_bytes(image(1) if "p" in ext.lower() else b"a red dog")


def plainly(text: bytes, record: bytes | None) -> str | None:
    """The caption of a pair that is one."""
    try:
        read = text.decode("utf-8").removeprefix("\ufeff").rstrip("\r\n")
        held = json.loads(record) if record is not None else {}
    except (ValueError, RecursionError):
        return None
    return read if isinstance(held, dict) and read.strip() and len(read) <= 10_000 else None


def odd_caption(random: Random, number: int) -> bytes:
    odd = random.choice(CAPTIONS)
    return random.choice(
        (odd, odd, damaged(random, caption(number).encode()), odd + caption(number).encode())
    )


def odd_json(random: Random, number: int) -> bytes:
    fields = {"uid": json.dumps(uid(number)), "original_width": "640", "original_height": "480"}
    if random.random() < 0.3:
        del fields["uid"]
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        fields[random.choice(KEYS)] = random.choice(RAW)
    text = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
    if random.random() < 0.1:
        text = random.choice(RAW)
    data = text.encode()
    match random.randrange(10):
        case 0:
            return damaged(random, data)
        case 1:
            return random.choice(
                (b"\xef\xbb\xbf" + data, text.encode("utf-16"), text.encode("utf-32"), data + data, b"")
            )
    return data


def evaluate(case: Case, shard: str) -> None:
    """The same files as an evaluation set: it is read whole, or refused in a sentence."""
    names = case.random.choice(((), ("red", "dog"), ("1", "0"), ("red", "0", "1")))
    given: dict[str, Any] = {
        "zeroshot": (shard,),
        "classes": names,
        "label_key": case.random.choice(("cls", "label")),
    }
    if case.random.random() < 0.5:
        given = {"retrieval": (shard,), "metric": "retrieval_error"}
    try:
        tasks = load_tasks(
            prepare_tasks(Evaluate(**given), load_towers("thresher-tiny-32", seed=0), case.out)
        )
    except InputError as error:
        sentence(error)
    else:
        must(tasks and all(len(task.pixels) for task in tasks), "an evaluation set without images")
