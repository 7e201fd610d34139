"""How fast is joint selection beside the matrix products that it cannot do without, and beside B x B?

    python benchmarks/selection_speed.py [--rounds 5] [--threads 2] [--large]

Embeddings are random unit vectors, learnability with the sigmoid loss unless another is named, 16 chunks.

- floor: the same products, (c x d)(d x B) twice a model and chunk, as fp32 `torch.mm` of whole chunks.
- B x B: all pair scores in one matrix, then its product with a 0/1 vector, twice a chunk.
- mask and sum: all pair scores in one matrix, then the matrix times a mask, summed, twice a chunk.

In a round all are timed one after another, as the speed of a shared machine drifts; ratios are medians over
the rounds. Times are those of the clock; with `--threads 1` those of the processor, which others on the
machine disturb less. `--large` adds B = 327,680, b = 32,768, d = 64 in a process of its own, with its peak
memory. With a CUDA device the large case runs there at d = 768 in bf16.

Every line with a goal ends with "holds" or "DOES NOT HOLD"; the exit status is 1 where one does not.
"""

import argparse
import itertools
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize, softplus

from thresher.scores.embeddings.stored import pack, unpack
from thresher.selection.embeddings import Embeddings
from thresher.selection.keys import chunk_sizes
from thresher.selection.sub_batch import select

CHUNKS = 16
LEARNER, REFERENCE = (10.0, -10.0), (30.0, -12.0)
"""Scale and bias: open_clip's start for the learner, a reference that has been trained."""
VIT_B_STEP = 327_680 * 2 * 20.5e9 + 32_768 * 3 * 41e9
"""FLOPs of a step at B = 327,680, b = 32,768 with ViT-B/16 and its text tower, 41 GFLOP a pair forward: the
super-batch scored at half of that, then forward and backward passes of the chosen."""
failures = []


@dataclass(frozen=True, slots=True)
class Case:
    """B candidates, b chosen, d dimensions."""

    candidates: int
    chosen: int
    dim: int

    def __str__(self) -> str:
        return f"B={self.candidates:,} b={self.chosen:,} d={self.dim}"


def main() -> int:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="B=327,680 on the CPU too: minutes")
    parser.add_argument("--only-large", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only_large:
        large(Case(327_680, 32_768, 64))
        return 0
    print(f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}")
    if torch.cuda.is_available():
        torch.set_num_threads(2)  # times of the clock
        on_gpu(Case(327_680, 32_768, 768), arguments.rounds)
        return bool(failures)
    compare(Case(4096, 819, 256), arguments.rounds, {})
    compare(Case(16_384, 3277, 256), arguments.rounds, {"B x B": 4, "mask and sum": 10})
    growth(arguments.rounds)
    half_types(Case(16_384, 3277, 256))
    if arguments.large:
        command = [sys.executable, __file__, "--only-large", "--threads", str(arguments.threads)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")
    return bool(failures)


def compare(case: Case, rounds: int, goals: dict[str, float]) -> None:
    """Time all ways in turn and print medians and ratios."""
    learner, reference, keys = made(case)
    size = case.chosen

    def ours(loss: str = "siglip", method: str = "joint") -> None:
        select(learner, reference, keys, size=size, step=0, seed=0, loss=loss, method=method)

    ways: dict[str, Callable[[], None]] = {
        "floor": lambda: floor(learner, reference, size),
        "joint": ours,
        "joint, softmax loss": lambda: ours("clip"),
        "independent": lambda: ours(method="independent"),
        "B x B": lambda: full_matrix(learner, reference, keys, size, product),
        "mask and sum": lambda: full_matrix(learner, reference, keys, size, mask_and_sum),
    }
    ways["floor"](), ways["joint"]()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    print(f"\n{case}: median of {rounds} rounds", flush=True)
    for name, values in seconds.items():
        share = statistics.median(v / f for v, f in zip(values, seconds["floor"], strict=True))
        print(f"  {name:20} {1e3 * statistics.median(values):9.1f} ms   {share:6.2f} x floor")

    def ratio(over: str, under: str) -> float:
        return statistics.median(o / u for o, u in zip(seconds[over], seconds[under], strict=True))

    goal(f"joint over the floor {ratio('joint', 'floor'):.2f}, at most 1.5", ratio("joint", "floor") <= 1.5)
    for name, least in goals.items():
        faster = ratio(name, "joint")
        goal(f"{name} over joint {faster:.1f}, at least {least}", faster >= least)


def growth(rounds: int) -> None:
    """Time against B and against b; twice the size should take twice the time."""
    print("\nGrowth, d=256: seconds a step, and a step at twice the size over it")
    for name, cases in (
        ("B", [Case(size, 2048, 256) for size in (4096, 8192, 16_384, 32_768)]),
        ("b", [Case(16_384, size, 256) for size in (512, 1024, 2048, 4096)]),
    ):
        inputs = [made(case) for case in cases]
        seconds: list[list[float]] = [[] for _ in cases]
        for _ in range(rounds):
            for place, (case, given) in enumerate(zip(cases, inputs, strict=True)):
                seconds[place].append(timed(lambda c=case, g=given: chosen(c, *g)))
        medians = [statistics.median(values) for values in seconds]
        ratios = [later / earlier for earlier, later in itertools.pairwise(medians)]
        print("  " + ", ".join(f"{case}: {value:.3f} s" for case, value in zip(cases, medians, strict=True)))
        goal(
            f"twice {name} takes {', '.join(f'{ratio:.2f}' for ratio in ratios)} times as long, at most 2.4",
            max(ratios) <= 2.4,
        )


def half_types(case: Case) -> None:
    """Share of the picks that stay with rounded embeddings, and, beside it, with other noise in the draw."""
    learner, reference, keys = lifelike(case)
    exact = set(chosen(case, learner, reference, keys).tolist())
    print(f"\n{case}, pairs around topics: share of equal picks with rounded embeddings")
    for dtype in (torch.float16, torch.bfloat16):
        rounded = [
            Embeddings(
                image_BD=model.image_BD.to(dtype),
                text_BD=model.text_BD.to(dtype),
                scale=model.scale,
                bias=model.bias,
            )
            for model in (learner, reference)
        ]
        same = exact & set(chosen(case, *rounded, keys).tolist())
        print(f"  {str(dtype).removeprefix('torch.'):10} {len(same) / case.chosen:.4f}")
    for dtype in ("fp16", "int8"):
        image, text = (
            torch.from_numpy(unpack(pack(vectors.numpy(), dtype)))
            for vectors in (reference.image_BD, reference.text_BD)
        )
        stored = Embeddings(image_BD=image, text_BD=text, scale=reference.scale, bias=reference.bias)
        same = exact & set(chosen(case, learner, stored, keys).tolist())
        print(f"  reference cached as {dtype} {len(same) / case.chosen:.4f}")
    same = exact & set(chosen(case, learner, reference, keys, seed=1).tolist())
    print(f"  another seed {len(same) / case.chosen:.4f}")


def large(case: Case) -> None:
    """One selection, its time and the peak memory of the process."""
    learner, reference, keys = made(case)
    clock, processor = time.perf_counter(), time.process_time()
    chosen(case, learner, reference, keys)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    flops = 8 * 15 / 16 * case.chosen * case.candidates * case.dim
    print(f"\n{case}: {clock:.1f} s on the clock, {processor:.1f} s of the processor, {flops:.3g} FLOP")
    goal(f"peak memory of the process {peak:.2f} GiB, under 4", peak < 4)


def on_gpu(case: Case, rounds: int) -> None:
    """Time all backends and the same products in bf16 on the device."""
    print(torch.cuda.get_device_name())
    learner, reference, keys = made(case, device="cuda", dtype=torch.bfloat16)
    flops = 8 * 15 / 16 * case.chosen * case.candidates * case.dim
    ways: dict[str, Callable[[], None]] = {
        "floor": lambda: floor(learner, reference, case.chosen),
        **{
            name: lambda name=name: chosen(case, learner, reference, keys, backend=name)
            for name in ("triton", "compile", "tiles")
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    print(f"{case} bf16: median of {rounds} rounds")
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"  {name:10} {1e3 * middle:8.1f} ms  {flops / middle / 1e12:6.0f} TFLOP/s")
    share = statistics.median(seconds["triton"]) / statistics.median(seconds["floor"])
    goal(f"triton over the floor {share:.2f}, at most 1.5", share <= 1.5)
    step = VIT_B_STEP / (0.4 * flops / statistics.median(seconds["floor"]))
    part = statistics.median(seconds["triton"]) / step
    goal(f"share of a ViT-B/16 step at 40% of the floor's rate {100 * part:.2f}%, under 2%", part < 0.02)
    exact = [
        Embeddings(
            image_BD=model.image_BD[:16384].float(),
            text_BD=model.text_BD[:16384].float(),
            scale=model.scale,
            bias=model.bias,
        )
        for model in (learner, reference)
    ]
    rounded = [
        Embeddings(
            image_BD=model.image_BD.bfloat16(),
            text_BD=model.text_BD.bfloat16(),
            scale=model.scale,
            bias=model.bias,
        )
        for model in exact
    ]
    small, few = Case(16_384, 3277, case.dim), keys[:16_384]
    wanted = set(chosen(small, *exact, few, backend="tiles").tolist())
    for backend in ("triton", "compile", "tiles"):
        same = len(wanted & set(chosen(small, *rounded, few, backend=backend).tolist())) / small.chosen
        goal(f"{small}: share of picks of {backend} that fp32 picks {same:.4f}, over .99", same > 0.99)


def lifelike(case: Case) -> tuple[Embeddings, Embeddings, torch.Tensor]:
    """Learner, reference and keys of pairs around topics, which agree more or less: the scores decide."""
    draw = torch.Generator().manual_seed(0)
    topics = torch.randn(case.candidates // 16, case.dim, generator=draw)
    topic = torch.randint(len(topics), (case.candidates,), generator=draw)
    apart = torch.rand(case.candidates, 1, generator=draw)
    models = []
    for spread in (1.5, 1.0):
        image = topics[topic] + torch.randn(case.candidates, case.dim, generator=draw)
        text = image + spread * apart * torch.randn(case.candidates, case.dim, generator=draw)
        models.append(
            Embeddings(
                image_BD=normalize(image, dim=1), text_BD=normalize(text, dim=1), scale=30.0, bias=-12.0
            )
        )
    return models[0], models[1], torch.randperm(case.candidates, generator=draw)


def made(
    case: Case, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Embeddings, Embeddings, torch.Tensor]:
    """Learner, reference and keys of a super-batch."""
    draw = torch.Generator(device).manual_seed(0)
    models = []
    for scale, bias in (LEARNER, REFERENCE):
        image, noise = (
            normalize(torch.randn(case.candidates, case.dim, generator=draw, device=device), dim=1)
            for _ in range(2)
        )
        text = normalize(image + noise, dim=1)
        models.append(Embeddings(image_BD=image.to(dtype), text_BD=text.to(dtype), scale=scale, bias=bias))
    keys = torch.randperm(case.candidates, generator=draw, device=device)
    return models[0], models[1], keys


def chosen(
    case: Case,
    learner: Embeddings,
    reference: Embeddings,
    keys: torch.Tensor,
    backend: str = "auto",
    seed: int = 0,
) -> torch.Tensor:
    """Places that joint selection takes."""
    return select(
        learner, reference, keys, size=case.chosen, step=0, seed=seed, chunks=CHUNKS, backend=backend
    ).places_b


def floor(learner: Embeddings, reference: Embeddings, size: int) -> None:
    """The products alone, into memory that is there already."""
    sizes = chunk_sizes(size, CHUNKS)[:-1]
    like = learner.image_BD
    out = torch.empty(max(sizes), len(like), device=like.device, dtype=like.dtype)
    for count in sizes:
        for model in (learner, reference):
            torch.mm(model.text_BD[:count], model.image_BD.T, out=out[:count])
            torch.mm(model.image_BD[:count], model.text_BD.T, out=out[:count])


def full_matrix(
    learner: Embeddings,
    reference: Embeddings,
    keys: torch.Tensor,
    size: int,
    sums: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    """Joint selection with all pair scores in memory; `sums` is called once a chunk."""
    scores = pair_losses(learner).sub_(pair_losses(reference))
    own = scores.diagonal().clone()
    draw = torch.Generator().manual_seed(0)
    mask = torch.zeros(len(keys))
    logits = own
    for count in chunk_sizes(size, CHUNKS):
        noise = -torch.rand(len(keys), generator=draw).log_().neg_().log_()
        picks = (logits + noise).masked_fill_(mask.bool(), -torch.inf).topk(count).indices
        mask[picks] = 1
        logits = own + sums(scores, mask)


def product(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sums over the chosen, both directions, as two matrix-vector products."""
    return mask @ scores + scores @ mask


def mask_and_sum(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The same with the masked matrix written out."""
    return (scores * mask[:, None]).sum(0) + (scores * mask[None]).sum(1)


def pair_losses(model: Embeddings) -> torch.Tensor:
    """l_ij of the sigmoid loss, [B, B]."""
    logits = torch.mm(model.image_BD * model.scale, model.text_BD.T).add_(model.bias)
    logits.diagonal().neg_()
    return softplus(logits)


def timed(way: Callable[[], object]) -> float:
    """Seconds that it took."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    now = time.perf_counter if torch.get_num_threads() > 1 else time.process_time
    started = now()
    way()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return now() - started


def goal(text: str, holds: bool) -> None:
    """Print a goal and whether it was reached."""
    print(f"  {text}: {'holds' if holds else 'DOES NOT HOLD'}", flush=True)
    if not holds:
        failures.append(text)


if __name__ == "__main__":
    sys.exit(main())
