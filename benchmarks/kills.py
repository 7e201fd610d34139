"""What does `kill -9` change in `embed`, `run`, `train` and `probe`? Killed at random, and called again.

    python benchmarks/kills.py --out FOLDER [--kinds embed,run,...] [--kills 20] [--seconds N] [--seed 0]

Each kind is run once and left alone: the reference. Then, again and again: a fresh folder, the command killed
with all of its process group at a random moment of its time, and called again. It counts whether it ends with
the same bytes, or with one sentence. `train-changed` gets other shards between the kill and the second call:
that has to be said in one sentence, and with the shards put back the run goes on to the same bytes.

What came of each kill is kept in FOLDER/kills.jsonl, so that the kills can be made in pieces: a call makes
those that are still due, and begins no other one after so many seconds. The table is of all kills so far;
exit code 1 when any was a fault.
Checkpoints are written at every occasion, so that the second call goes on from one.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from faults import contents
from made_shards import make_shards
from thresher.cli import main as thresher
from thresher.data.digests import hasher
from thresher.data.files.atomic import append_jsonl, write_json
from thresher.pipeline.synthetic import write_demo_pool
from thresher.train import loop
from thresher.train.job import JOB_FILE

MODEL = "thresher-tiny-32"
TRAIN = f"""
workdir = "work"
device = "cpu"
[shards]
paths = ["../shards"]
[train]
model = "{MODEL}"
batch_size = 16
samples_seen = 480
precision = "fp32"
checkpoint_seconds = 0.001
select = "joint"
filter_ratio = 0.5
chunks = 4
"""
RUN = f"""
workdir = "work"
device = "cpu"
[shards]
paths = ["../demo/pool"]
[filter]
shards = ["../demo/curated"]
model = "{MODEL}"
samples_seen = 96
batch_size = 16
[score]
scorers = ["clip", "caption"]
workers = 1
[cut]
by = "clip"
edges = [0.4, 1.0]
[probe]
model = "{MODEL}"
samples = [48, 96, 144]
fractions = [1.0, 0.5]
batch_size = 16
jobs = 1
precision = "fp32"
verify = true
[evaluate]
zeroshot = ["../demo/test"]
[fit]
bootstrap = 10
[plan]
budgets = [144, 288]
[train]
model = "{MODEL}"
batch_size = 16
samples_seen = 80
precision = "fp32"
checkpoint_seconds = 0.001
"""
CONFIGS = {
    "embed": "",
    "run": RUN,
    "train-joint": TRAIN + 'criterion = "hard-learner"\n',
    "train-reference": TRAIN + 'reference = "../embeddings"\n',
    "train-changed": TRAIN + 'criterion = "hard-learner"\n',
    "probe": RUN,
}
MOST_TRIES = 5


@dataclass(frozen=True)
class Kind:
    """A command in a folder of its own, whose products lie in `work`."""

    name: str
    folder: Path

    @property
    def work(self) -> Path:
        """Where it writes."""
        return self.folder / "work"

    def words(self) -> list[str]:
        """Its command line."""
        config, shards = str(self.folder / "config.toml"), str(self.folder.parent / "shards")
        if self.name == "embed":
            how = ["--model", MODEL, "--device", "cpu", "--batch-size", "16", "--workers", "1"]
            return ["embed", shards, *how, "--out", str(self.work)]
        if self.name == "probe":
            pools = str(self.folder.parent / "pools")
            return ["probe", pools, "--config", config, "--out", str(self.work / "runs.jsonl")]
        return ["run" if self.name == "run" else "train", config]


def main() -> None:
    """Kill, compare, print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--kinds", default=",".join(CONFIGS))
    parser.add_argument("--kills", type=int, default=20, help="kills of each kind in all")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no other kill after them")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    ends = time.monotonic() + arguments.seconds
    prepare(out)
    kept = out / "kills.jsonl"
    for name in arguments.kinds.split(","):
        kind = Kind(name, out / name)
        whole, seconds = reference(kind)
        for number in range(len(kills_of(kept, name)), arguments.kills):
            if time.monotonic() > ends:
                break
            rng = random.Random(f"{arguments.seed} {name} {number}")
            outcome = kill_once(kind, seconds, whole, rng)
            append_jsonl(kept, {"kind": name, "number": number, **outcome})
            print(f"{name} {number}: {outcome}", flush=True)
    sys.exit(table(kept))


def prepare(out: Path) -> None:
    """Shards, embeddings and pools that the commands read, and their configs; what is there stays."""
    make_shards(out / "shards", 192, 4)
    if not (out / "demo" / "planted.json").exists():
        write_demo_pool(out / "demo", pool=200, curated=60, test=40, seed=0)
    for name, text in CONFIGS.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        (out / name / "config.toml").write_text(text)
    embed = ["embed", str(out / "shards"), "--model", MODEL, "--device", "cpu", "--workers", "0"]
    call_well([*embed, "--out", str(out / "embeddings")], out / "prepared.txt")
    score = ["score", str(out / "demo" / "pool"), "--scorer", "caption", "--workers", "0"]
    call_well([*score, "--out", str(out / "scores")], out / "prepared.txt")
    cut = ["cut", str(out / "scores"), "--by", "caption", "--edges", "0.4,1.0"]
    call_well([*cut, "--out", str(out / "pools")], out / "prepared.txt")


def reference(kind: Kind) -> tuple[dict[str, str], float]:
    """Digests of what the command makes when it is left alone, and how long it takes; made once."""
    kept = kind.folder / "reference.json"
    if not kept.exists():
        shutil.rmtree(kind.work, ignore_errors=True)
        started = time.monotonic()
        call_well(kind.words(), kind.folder / "said.txt")
        seconds = time.monotonic() - started
        write_json(kept, {"seconds": seconds, "files": digests(kind.work)})
    found = json.loads(kept.read_bytes())
    return found["files"], found["seconds"]


def kill_once(kind: Kind, seconds: float, whole: dict[str, str], rng: random.Random) -> dict[str, object]:
    """What came of a kill: when it was, whether it hit, and what the second call did."""
    told = kind.folder / "said.txt"
    for _ in range(MOST_TRIES):
        shutil.rmtree(kind.work, ignore_errors=True)
        after = rng.random() * seconds
        hit = killed(kind.words(), told, after)
        begun = (kind.work / "train" / JOB_FILE).exists()
        if hit and (begun or kind.name != "train-changed"):
            break
    when = {"after": round(after, 2), "hit": hit}
    if kind.name == "train-changed":
        with another_shard(kind.folder.parent / "shards" / "00001.tar"):
            code = call(kind.words(), told)
        if not is_sentence(code, told):
            return {**when, "outcome": "FAULT: not told of other shards", "said": told.read_text()[-300:]}
        when["told"] = told.read_text().splitlines()[-1][:160]
    code = call(kind.words(), told)
    if code == 0:
        found = digests(kind.work)
        other = sorted(name for name in {**found, **whole} if found.get(name) != whole.get(name))
        return {**when, "outcome": f"FAULT: {other[:3]} differ" if other else "same bytes"}
    if is_sentence(code, told):
        return {**when, "outcome": "sentence", "said": told.read_text().splitlines()[-1]}
    return {**when, "outcome": f"FAULT: exit code {code}", "said": told.read_text()[-300:]}


@contextlib.contextmanager
def another_shard(path: Path) -> Iterator[None]:
    """Other pairs in a shard, as long as the block lasts."""
    kept = path.with_suffix(".kept")
    path.rename(kept)
    other = make_shards(path.parent.parent / "other-shards", 192, 4, seed=7)[1]
    shutil.copy(other, path)
    try:
        yield
    finally:
        kept.rename(path)


def digests(folder: Path) -> dict[str, str]:
    """Every file by its relative name, but for logs and hidden files."""
    return {name: hasher(data).hexdigest() for name, data in contents(folder).items()}


def call_well(words: list[str], told: Path) -> None:
    """Run a command to its end; an error shows what it said."""
    code = call(words, told)
    assert code == 0, f"{words[0]} ended with {code}: {told.read_text()}"


def call(words: list[str], told: Path) -> int:
    """Run a command to its end; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(words, told), 0)[1])


def killed(words: list[str], told: Path, after: float) -> bool:
    """Run a command, kill it and all of its group after so many seconds; whether it was still running."""
    child = start(words, told)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def start(words: list[str], told: Path) -> int:
    """The command in a fork that leads a process group of its own; what it says goes to a file."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(child, child)
        return child
    code: object = 1
    try:
        os.setpgid(0, 0)
        descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        assert loop.train.__kwdefaults__ is not None
        loop.train.__kwdefaults__["checkpoint_seconds"] = 0.0
        thresher(words)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    raise AssertionError


def is_sentence(code: int, told: Path) -> bool:
    """Whether a command ended as one does that cannot run."""
    text = told.read_text()
    return code == 2 and "Traceback" not in text and text.splitlines()[-1].startswith("thresher: ")


def kills_of(path: Path, kind: str) -> list[dict[str, object]]:
    """The kills of a kind so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [kill for line in lines if (kill := json.loads(line))["kind"] == kind]


def table(path: Path) -> int:
    """Print the table of all kills so far; the exit code."""
    faults_in_all = 0
    print(f"{'kind':16} {'kills':>5} {'hit':>4} {'same bytes':>10} {'sentences':>9} {'faults':>6}")
    for kind in CONFIGS:
        own = kills_of(path, kind)
        outcomes = Counter(str(kill["outcome"]).partition(" ")[0].rstrip(":") for kill in own)
        same, sentences, faults = (outcomes[word] for word in ("same", "sentence", "FAULT"))
        hit = sum(bool(kill["hit"]) for kill in own)
        print(f"{kind:16} {len(own):>5} {hit:>4} {same:>10} {sentences:>9} {faults:>6}")
        faults_in_all += faults
    return int(faults_in_all > 0)


if __name__ == "__main__":
    main()
