"""Fused kernels for CUDA: a block of candidates streams over the chunk, and no logit is ever written out.

Shapes: B candidates, M of them in a block, c pairs of a chunk, N of them at once, D dimensions in steps of K.
With `TRITON_INTERPRET=1` the same kernels run on a CPU, slowly, which is how they are tested.
"""

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, no-untyped-def"

import os
from typing import Any

import torch
import triton
import triton.language as tl

from thresher.selection.criteria import Weighted
from thresher.selection.embeddings import Embeddings
from thresher.selection.folding import LOG2E
from thresher.selection.threads import Workers

LN2 = tl.constexpr(1 / LOG2E)
# log1p(a) = a (L0 + L1 a + ... + L7 a^7) for a in [0, 1] to 4 parts in 10^7; by weighted least squares
L0 = tl.constexpr(0.9999998056528243)
L1 = tl.constexpr(-0.4999740525843648)
L2 = tl.constexpr(0.33275477588792324)
L3 = tl.constexpr(-0.2449544979134378)
L4 = tl.constexpr(0.17745204367287779)
L5 = tl.constexpr(-0.10768117100553093)
L6 = tl.constexpr(0.044089238635243354)
L7 = tl.constexpr(-0.00853909647372571)
EMPTY = tl.constexpr(-1e30)
"""Stands for minus infinity, without its differences that are not numbers."""


def usable(device: torch.device) -> bool:
    """Can the kernels run on tensors of this device?"""
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def sigmoid_sums(models: list[Weighted], chunks: list[Embeddings], workers: Workers) -> torch.Tensor:
    """As `thresher.selection.pairwise.sigmoid_sums`; models that differ in width or dtype go one by one."""
    del workers
    if len({(model.embeddings.image_BD.shape[1], model.embeddings.image_BD.dtype) for model in models}) == 1:
        return _sigmoid_sums(models, chunks)
    each = [_sigmoid_sums([model], [chunk]) for model, chunk in zip(models, chunks, strict=True)]
    return torch.stack(each).sum(0)


def _sigmoid_sums(models: list[Weighted], chunks: list[Embeddings]) -> torch.Tensor:
    """The sums of one model, or of two whose embeddings are of one width and dtype, by one kernel."""
    first, last = models[0].embeddings, models[-1].embeddings
    out_B = torch.empty(len(first), dtype=torch.float32, device=first.image_BD.device)
    arguments: list[Any] = []
    for candidates, chunk in ((first, chunks[0]), (last, chunks[-1])):
        arguments += _tensors(candidates, chunk)
        arguments += [candidates.scale * LOG2E, candidates.bias * LOG2E]
    shape = block_shape(first.image_BD)
    sigmoid_kernel[(triton.cdiv(len(first), shape["M"]),)](
        *arguments,
        out_B,
        len(first),
        len(chunks[0]),
        float(models[0].weight),
        float(models[-1].weight),
        D=first.image_BD.shape[1],
        SIDES=2 * len(models),
        **shape,
    )
    return out_B


def softmax_sums(model: Embeddings, chunk: Embeddings, workers: Workers) -> torch.Tensor:
    """As `thresher.selection.pairwise.softmax_sums`."""
    del workers
    out_2B = torch.empty((2, len(model)), dtype=torch.float32, device=model.image_BD.device)
    shape = block_shape(model.image_BD)
    softmax_kernel[(triton.cdiv(len(model), shape["M"]), 2)](
        *_tensors(model, chunk),
        out_2B,
        len(model),
        len(chunk),
        model.scale * LOG2E,
        D=model.image_BD.shape[1],
        **shape,
    )
    return out_2B


def _tensors(candidates: Embeddings, chunk: Embeddings) -> list[torch.Tensor]:
    return [candidates.image_BD, candidates.text_BD, chunk.image_BD, chunk.text_BD]


def block_shape(image_BD: torch.Tensor) -> dict[str, Any]:
    """Block sizes; fp32 is multiplied exactly, without the matrix units' short mantissa."""
    if image_BD.dtype == torch.float32:
        sizes = {"M": 64, "N": 64, "K": 32, "num_warps": 4, "num_stages": 2}
    else:
        sizes = {"M": 128, "N": 256, "K": 64, "num_warps": 8, "num_stages": 3}
    return {**sizes, "PRECISION": "ieee", "enable_fp_fusion": True}


@triton.jit
def _products(
    rows,
    columns,
    first_row,
    first_column,
    num_rows,
    num_columns,
    D: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Products of M candidates with N pairs of the chunk, fp32; rows beyond the last are repeated."""
    row = tl.minimum(first_row + tl.arange(0, M), num_rows - 1).to(tl.int64)
    column = tl.minimum(first_column + tl.arange(0, N), num_columns - 1).to(tl.int64)
    step = tl.arange(0, K)
    row_pointers = rows + row[:, None] * D + step[None, :]
    column_pointers = columns + column[None, :] * D + step[:, None]
    products = tl.zeros((M, N), dtype=tl.float32)
    for start in range(0, D, K):
        if D % K == 0:
            row_MK, column_KN = tl.load(row_pointers + start), tl.load(column_pointers + start)
        else:
            inside = start + step < D
            row_MK = tl.load(row_pointers + start, mask=inside[None, :], other=0.0)
            column_KN = tl.load(column_pointers + start, mask=inside[:, None], other=0.0)
        products = tl.dot(row_MK, column_KN, products, input_precision=PRECISION)
    return products


@triton.jit
def _softplus(logits):
    """`softplus` of logits given in units of log 2."""
    a = tl.exp2(-tl.abs(logits))
    series = L6 + a * L7
    series = L5 + a * series
    series = L4 + a * series
    series = L3 + a * series
    series = L2 + a * series
    series = L1 + a * series
    series = L0 + a * series
    return tl.maximum(logits, 0.0) * LN2 + a * series


@triton.jit
def sigmoid_kernel(
    image_a,
    text_a,
    chunk_image_a,
    chunk_text_a,
    scale_a,
    bias_a,
    image_b,
    text_b,
    chunk_image_b,
    chunk_text_b,
    scale_b,
    bias_b,
    out,
    num_rows,
    num_columns,
    weight_a,
    weight_b,
    D: tl.constexpr,
    SIDES: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Weighted sums of softplus over the chunk for M candidates, of two sides a model, one model or two.

    Scales and biases are in units of log 2; weights are those of the models' losses.
    """
    first = tl.program_id(0) * M
    total = tl.zeros((M,), dtype=tl.float32)
    for side in range(SIDES):
        rows = image_a if side == 0 else text_a if side == 1 else image_b if side == 2 else text_b
        columns = (
            chunk_text_a
            if side == 0
            else chunk_image_a
            if side == 1
            else chunk_text_b
            if side == 2
            else chunk_image_b
        )
        scale = scale_a if side < 2 else scale_b
        bias = bias_a if side < 2 else bias_b
        part = tl.zeros((M,), dtype=tl.float32)
        for first_column in range(0, num_columns, N):
            products = _products(
                rows, columns, first, first_column, num_rows, num_columns, D, M, N, K, PRECISION
            )
            terms = _softplus(products * scale + bias)
            inside = first_column + tl.arange(0, N) < num_columns
            part += tl.sum(tl.where(inside[None, :], terms, 0.0), axis=1)
        total += part * (weight_a if side < 2 else weight_b)
    row = first + tl.arange(0, M)
    tl.store(out + row, total, mask=row < num_rows)


@triton.jit
def softmax_kernel(
    image,
    text,
    chunk_image,
    chunk_text,
    out,
    num_rows,
    num_columns,
    scale,
    D: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Log-sum-exp over the chunk for M candidates: images against texts, or the reverse."""
    first, side = tl.program_id(0) * M, tl.program_id(1)
    rows = image if side == 0 else text
    columns = chunk_text if side == 0 else chunk_image
    largest = tl.full((M,), EMPTY, dtype=tl.float32)
    total = tl.zeros((M,), dtype=tl.float32)
    for first_column in range(0, num_columns, N):
        products = _products(rows, columns, first, first_column, num_rows, num_columns, D, M, N, K, PRECISION)
        inside = first_column + tl.arange(0, N) < num_columns
        logits = tl.where(inside[None, :], products * scale, EMPTY)
        higher = tl.maximum(largest, tl.max(logits, axis=1))
        total = total * tl.exp2(largest - higher) + tl.sum(tl.exp2(logits - higher[:, None]), axis=1)
        largest = higher
    row = first + tl.arange(0, M)
    result = (largest + tl.log2(total)) * LN2
    tl.store(out + side * num_rows + row, result, mask=row < num_rows)
