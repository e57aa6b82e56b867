"""Matrix products: of few rows, whose time is that of reading the matrix once, and of many.

No row of a result depends on the other rows, nor on the number of threads. With NumPy's BLAS it depends on both.

Letters: R rows; M rows of the matrix, of U numbers each; H heads, D head size.
"""

from collections.abc import Callable

import numpy as np
from numba import prange

from ..arrays import Floats
from .elementary import gelu
from .jit import kernel, most_threads, scratch, thread
from .rounded import DEPTH, Matrix, Rounded, parts, rounded_rows, words
from .vectors import DOT_ROWS, ROWS, add_pairs, add_product, dots, lanes, transpose

Multiplication = Callable[..., None]  # few_rows or many_rows
FEW_ROWS = 16  # of so many rows at most, reading the matrix takes longer than the arithmetic
WEIGHT_TILE = 48  # rows of the matrix per task
ROW_TILE = 48  # with so many rows, and DEPTH terms at a time, what is multiplied stays in the first cache
CHUNK = 1024  # rows per task, for which a part of the matrix is laid out once
PART_TILES, PART_PANELS = 8, 8  # tiles of rows and vectors' panels per task, whose operands stay in the second cache


@kernel(parallel=True)
def _few_rows(x, weight, scale, bias, activate, out):
    M = weight.shape[0]
    for tile in prange((M + WEIGHT_TILE - 1) // WEIGHT_TILE):
        first, stop = tile * WEIGHT_TILE, min(M, (tile + 1) * WEIGHT_TILE)
        # pass 1: out = x @ weight.T, of the columns of this tile
        dots(x, weight, first, stop, out)
        # pass 2: out = out * scale + bias, or its GELU
        for r in range(x.shape[0]):
            if scale is not None:
                for m in range(first, stop):
                    out[r, m] *= scale[m]
            for m in range(first, stop):
                out[r, m] = gelu(out[r, m] + bias[m]) if activate else out[r, m] + bias[m]


def few_rows(x: Floats, weight: Matrix, bias: Floats, out: Floats, *, activate: bool = False) -> None:
    """Write x @ weight.T + bias, or its GELU, to `out`, head by head.

    Equals `reference.linear`, then `reference.activation(..., "gelu")` with `activate`; out[h] is columns h * D to
    (h + 1) * D of the result. Each weight is read from memory once, whatever the number of rows.

    x: (R, U) float
    weight: (H*D, U) float, or with float32 rows Rounded
    bias: (H*D,) float
    out: (H, R, D) float
    """
    H, R, D = out.shape
    result = out[0] if H == 1 else np.empty((R, H * D), out.dtype)
    if R > 2 * DOT_ROWS:  # all rows are loaded again and again, which is faster where they begin lines of the caches
        lines = scratch(x.shape, x.dtype)[0]
        lines[:] = x
        x = lines
    _few_rows(x, *parts(weight), bias, activate, result)
    if H > 1:
        out[:] = result.reshape(R, H, D).swapaxes(0, 1)


@kernel(parallel=True, fastmath=set())
def _many_rows(x, x_scale, weight, scale, bias, activate, chunk, panels, tiles, out):
    _, R, D = out.shape
    M, U = weight.shape
    width = panels.shape[2]
    depth = DEPTH if x_scale is None else DEPTH // 2  # words
    chunks = (R + chunk - 1) // chunk
    for task in prange((M + width - 1) // width * chunks):
        m0, first = task // chunks * width, task % chunks * chunk
        m1, stop = min(M, m0 + width), min(R, first + chunk)
        columns = m1 - m0
        # subtle: an array whose columns are cut is strided to the compiler, which then makes no vectors of a loop.
        panel, tile = panels[thread()], tiles[thread()]
        # subtle: nor where an index is a sum that could be negative; so parts are cut here.
        biases = bias[m0:m1]
        if scale is not None:
            scales = scale[m0:m1]
        # pass 1: panel = weight[m0:m1].T
        transpose(weight[m0:m1], panel[:, :columns])
        for r0 in range(first, stop, ROW_TILE):
            rows = min(stop, r0 + ROW_TILE) - r0
            # pass 2: tile = x[r0 : r0 + rows] @ panel; meanwhile the next task's part of the matrix comes to the cache
            tile[:rows] = 0
            for u in range(0, U, depth):
                terms = slice(u, min(U, u + depth))
                later = weight[m1 + u * width // U : m1 + terms.stop * width // U]
                left, right = x[r0 : r0 + rows, terms], panel[terms, :columns]
                if x_scale is None:
                    add_product(left, right, tile[:rows, :columns], later)
                else:
                    add_pairs(left, right, tile[:rows, :columns], later)
            # pass 3: tile = tile * scales
            for r in range(rows):
                if x_scale is not None:
                    for m in range(columns):
                        tile[r, m] *= x_scale[r0 + r] * scales[m]
                elif scale is not None:
                    for m in range(columns):
                        tile[r, m] *= scales[m]
            # pass 4: out = tile + bias, or its GELU, head by head
            for h in range(m0 // D, (m1 + D - 1) // D):
                before, past = max(m0 - h * D, 0), max(h * D - m0, 0)  # columns of the head, and of the tile
                for r in range(rows):
                    if activate:
                        for m in range(min(D - before, columns - past)):
                            out[h, r0 + r, before + m] = gelu(tile[r, past + m] + biases[past + m])
                    else:
                        for m in range(min(D - before, columns - past)):
                            out[h, r0 + r, before + m] = tile[r, past + m] + biases[past + m]


def operand(x: Matrix, weight: Matrix) -> Matrix:
    """Return rows as `many_rows` multiplies them: rounded, unless they are already, where the matrix is int16.

    What several matrices are multiplied with needs to be rounded once only.
    """
    is_whole = isinstance(weight, Rounded) and weight.storage == "int16"
    return rounded_rows(x) if is_whole and not isinstance(x, Rounded) else x


def many_rows(x: Matrix, weight: Matrix, bias: Floats, out: Floats, *, activate: bool = False) -> None:
    """Write what `few_rows` writes, with other last bits; fast for many rows.

    Sums of DEPTH terms are added one to the other, which loses fewer digits than one long sum.

    An int16 matrix is multiplied as whole numbers, with rows that are rounded, too. That result is off by at most half
    of x's scale times the sizes of a row of the matrix, and half of its scale times the sizes of a row of x, added up.

    x: (R, U) float, or for an int16 matrix its `operand`
    weight: (H*D, U) float, or with float32 rows Rounded
    bias: (H*D,) float
    out: (H, R, D) float
    """
    (numbers, x_scale), (stored, scale) = parts(operand(x, weight)), parts(weight)
    if x_scale is not None:
        numbers, stored = words(numbers), words(stored)
    width = lanes(numbers.dtype)
    panels, tiles = scratch((numbers.shape[1], width), numbers.dtype), scratch((ROW_TILE, width), out.dtype)
    _many_rows(numbers, x_scale, stored, scale, bias, activate, CHUNK, panels, tiles, out)


def multiplication(rows: int) -> Multiplication:
    """Return the kernel that is fast for so many rows."""
    return few_rows if rows <= FEW_ROWS else many_rows


@kernel(parallel=True)
def _by_head(x, weight, out):
    for h in prange(x.shape[0]):
        # out[h] = x[h] @ weight[h].T
        dots(x[h], weight[h], 0, weight.shape[1], out[h])


def by_head(x: Floats, weight: Floats) -> Floats:
    """Return x @ weight.T, head by head; fast for few rows, as `few_rows`.

    x: (H, R, U) float
    weight: (H, M, U) float
    returns: (H, R, M) float
    """
    out = np.empty((*x.shape[:2], weight.shape[1]), x.dtype)
    _by_head(x, weight, out)
    return out


@kernel(parallel=True)
def _weighted_sums(x, y, width, out):
    H, _, U = x.shape
    M = y.shape[2]
    strips = (M + width - 1) // width
    for task in prange(H * strips):
        h, m0 = task // strips, task % strips * width
        columns = slice(m0, min(M, m0 + width))
        # out[h] = x[h] @ y[h], of these columns
        out[h, :, columns] = 0
        for u in range(0, U, DEPTH):
            terms = slice(u, min(U, u + DEPTH))
            add_product(x[h, :, terms], y[h, terms, columns], out[h, :, columns])


def weighted_sums(x: Floats, y: Floats) -> Floats:
    """Return x @ y, head by head.

    x: (H, R, U) float
    y: (H, U, M) float
    returns: (H, R, M) float
    """
    out = np.empty((*x.shape[:2], y.shape[2]), x.dtype)
    _weighted_sums(x, y, lanes(x.dtype), out)
    return out


@kernel()
def _lay_out(rows, first, stop, out):
    """out = rows[:, first:stop], some columns behind the other."""
    width = out.shape[2]
    for i in range(rows.shape[0]):
        for x in range(first, stop, width):
            row, copy = rows[i][x : min(stop, x + width)], out[(x - first) // width, i]
            for j in range(row.shape[0]):
                copy[j] = row[j]


@kernel(parallel=True, fastmath=set())
def _back(x, is_transposed, y, add, ones, d_bias, high, wide, lefts, panels, out):
    (R, M), U = out.shape, y.shape[0]
    width = panels.shape[3]
    across = (M + wide - 1) // wide
    for task in prange((R + high - 1) // high * across):
        r0, m0 = task // across * high, task % across * wide
        r1, m1 = min(R, r0 + high), min(M, m0 + wide)
        left, panel = lefts[thread()], panels[thread()]
        if not add:
            out[r0:r1, m0:m1] = 0
        for u0 in range(0, U, DEPTH):
            u1 = min(U, u0 + DEPTH)
            n = u1 - u0
            # pass 1: panel = y[u0:u1, m0:m1]; left = x[u0:u1, r0:r1], or x[r0:r1, u0:u1].T
            _lay_out(y[u0:u1], m0, m1, panel)
            if is_transposed:
                _lay_out(x[u0:u1], r0, r1, left)
            else:
                for r in range(r0, r1, ROW_TILE):
                    stop = min(r1, r + ROW_TILE)
                    transpose(x[r:stop, u0:u1], left[(r - r0) // ROW_TILE, :n, : stop - r])
            # pass 2: out += left.T @ panel; meanwhile rows of the next terms come to the cache, one during each block
            ahead = 0
            for m in range(m0, m1, width):
                columns = min(m1 - m, width)
                right = panel[(m - m0) // width, :n, :columns]
                for r in range(r0, r1, ROWS):
                    t, first, rows = (r - r0) // ROW_TILE, (r - r0) % ROW_TILE, min(r1 - r, ROWS)
                    tile, result = left[t, :n, first : first + rows], out[r : r + rows, m : m + columns]
                    u = min(u1 + ahead // 2, U - 1)
                    later = x[u][r0:r1] if is_transposed and ahead % 2 else y[u][m0:m1]
                    add_product(tile.T, right, result, later.reshape(1, later.size))
                    ahead += 1
            # pass 3: d_bias += left.sum(axis=0)
            if d_bias.size and m0 == 0:
                for r in range(r0, r1, ROW_TILE):
                    rows = min(r1 - r, ROW_TILE)
                    add_product(ones[:, :n], left[(r - r0) // ROW_TILE, :n, :rows], d_bias[:, r : r + rows])


def _part(size: int, unit: int, most: int, threads: int) -> int:
    """Return the size of equal parts: `most` units at most, and as many parts as give each thread the same number."""
    parts = -(-size // (most * unit))
    parts = -(-parts // threads) * threads
    return -(-size // (parts * unit)) * unit


def _multiply_back(x: Floats, y: Floats, out: Floats, d_bias: Floats | None = None, *, add: bool, turn: bool) -> None:
    """Write or add x @ y, with `turn` x.T @ y, to `out`; and add x.sum(axis=0) to d_bias."""
    (R, M), dtype, width = out.shape, out.dtype, lanes(out.dtype)
    if not out.size:
        return
    x, y = (np.ascontiguousarray(array).view() for array in (x, y))
    # subtle: a matrix of a model is read-only, and rows are not; a kernel would be compiled for each.
    x.flags.writeable = y.flags.writeable = False
    is_high = R * width >= M * ROW_TILE  # more tiles of rows than panels of columns
    high = _part(R, ROW_TILE, PART_TILES, most_threads() if is_high else 1)
    wide = _part(M, width, PART_PANELS, 1 if is_high else most_threads())
    lefts, panels = (scratch((size // each, DEPTH, each), dtype) for size, each in ((high, ROW_TILE), (wide, width)))
    d_bias = np.empty((1, 0), dtype) if d_bias is None else d_bias[None]
    _back(x, turn, y, add, np.ones((1, DEPTH), dtype), d_bias, high, wide, lefts, panels, out)


def back_to_rows(upstream: Floats, weight: Floats, out: Floats, *, add: bool = False) -> None:
    """Write the gradient of the rows of `many_rows`, upstream @ weight, to `out`, or with `add` add it.

    upstream: (R, M) float
    weight: (M, U) float
    out: (R, U) float
    """
    _multiply_back(upstream, weight, out, add=add, turn=False)


def back_to_weight(upstream: Floats, x: Floats, d_weight: Floats, d_bias: Floats | None = None) -> None:
    """Add the gradients of the matrix and of the bias of `many_rows`: upstream.T @ x and upstream.sum(axis=0).

    upstream: (R, M) float
    x: (R, U) float
    d_weight: (M, U) float
    d_bias: (M,) float, or None
    """
    _multiply_back(upstream, x, d_weight, d_bias, add=True, turn=True)
