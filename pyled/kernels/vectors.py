"""Matrix products whose sums stay in registers: the innermost loops of all other kernels, as vector instructions.

A compiler makes vector instructions of such a loop by itself, but keeps the sums in memory. Here a block of sums stays
in vector registers during the whole loop, so that each load feeds several multiply-adds. Only the instructions
themselves can say so. `add_product`, `add_pairs`, `dots` and `transpose` have a Python body: the lines that they equal,
used without compilation.

A word is 32 bits: a float32, or a pair of int16 that are neighbours along the depth.

Letters: R rows of the result, M rows of a matrix, U the depth: terms of each sum.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload
from numba.types import Array, int8, int16, int32, uint16, void

from .jit import FUSED, PART

# Of the target that Numba compiles for: NUMBA_CPU_NAME can name another processor than this one.
_, CPU, FEATURES = cpu_target.target_context.codegen().magic_tuple()
HAS_AVX512, HAS_AVX2 = (f"+{feature}" in FEATURES.split(",") for feature in ("avx512f", "avx2"))
VECTOR_BYTES = 64 if HAS_AVX512 else 32
# A block of sums in `add_product`: 12 sums, 3 operands and a factor fill the 16 registers of AVX2; AVX-512 has 32.
ROWS, VECTORS = (8, 3) if HAS_AVX512 else (4, 3)
PAIR_ROWS, PAIR_VECTORS = (8, 3) if HAS_AVX512 else (6, 2)  # the same in `add_pairs`
DOT_ROWS, DOT_COLUMNS = 4, 6 if HAS_AVX512 else 3  # of a block in `dots`
ALONE = 8  # sums at a time for one row: a multiply-add begins before the previous one has ended
LINE = 64  # bytes that a fetch brings
AHEAD = 8192  # the distance of fetches: bytes of a matrix between what is used and what is fetched
# The cache that fetches go to, and the divisors of the distance. A Zen 3 drops fetches when many are under way, so it
# gets each one three times, at shorter distances. A Zen 5 and a Xeon need each once; the Xeon's second cache is better.
IS_ZEN = CPU.startswith("znver")
CACHE, NEARER = 1 if IS_ZEN else 2, (1, 2, 4) if IS_ZEN and not HAS_AVX512 else (1,)

HALF, WORD = ir.IntType(16), ir.IntType(32)


def lanes(dtype: Any) -> int:
    """Return how many columns `add_product` takes at a time, or `add_pairs`, whose words are int32.

    Other numbers of columns work, and take longer.
    """
    return (PAIR_VECTORS if dtype == np.int32 else VECTORS) * VECTOR_BYTES // np.dtype(dtype).itemsize


def add_product(a: Any, b: Any, c: Any, later: Any = None) -> None:
    """Add a @ b to c. The terms of a sum are added to 0 in the order of the depth, whatever the shapes, then to c.

    a: (R, U) float
    b: (U, columns) float, or stored as in `dots`; the numbers of a row are neighbours, also in c
    c: (R, columns) float
    later: a matrix of any type that the caller reads next, to be fetched from memory meanwhile; or None
    """
    total = np.zeros_like(c)
    for u in range(a.shape[1]):
        total += a[:, u, None] * _widened(b[u], c.dtype)
    c += total


def add_product_once(a: Any, b: Any, c: Any, later: None = None) -> None:
    """Add a @ b to c as `add_product` does, and fetch what lies behind b in memory: the caller reads it next."""
    add_product(a, b, c)


def add_pairs(a: Any, b: Any, c: Any, later: Any = None) -> None:
    """Add the product of int16 numbers to c: sums of 32 bits, which are exact, each rounded to float32 as it is added.

    The caller sees to it that no sum leaves 32 bits.

    a: (R, U / 2) int32, words of two int16
    b: (U / 2, columns) int32, words of two int16; the words of a row are neighbours, the numbers of a row also in c
    c: (R, columns) float32
    later: as in `add_product`
    """
    halves = ([(words << shift >> 16).astype(np.int64) for words in (a, b)] for shift in (16, 0))  # lower, upper
    c += sum(left @ right for left, right in halves).astype(c.dtype)


def transpose(a: Any, b: Any) -> None:
    """Set b = a.T.

    a: (M, U) float, or stored as in `dots`, or int32 words; the numbers of a row are neighbours, also in b
    b: (U, M) float, or int32 words
    """
    b[:] = _widened(a, b.dtype).T


def dots(x: Any, weight: Any, first: int, stop: int, out: Any) -> None:
    """Set out[:, m] = x @ weight[m] for m from `first` to `stop`. The sums of a row do not depend on the other rows.

    With x of int16, sums of 32 bits are exact, and rounded to float32. The caller sees to it that none is larger.

    x: (R, U) float, or int16; the numbers of a row are neighbours, also in weight
    weight: (M, U) float; or for float32 uint16, the upper half of a float32's bits (bfloat16), int16 or int8
    out: (R, M) float, or fewer columns that reach to `stop`
    """
    numbers = np.dtype(np.int64) if x.dtype == np.int16 else x.dtype
    for m in range(first, stop):
        out[:, m] = (x.astype(numbers) * _widened(weight[m], numbers)).sum(axis=1)


def _widened(stored: Any, dtype: Any) -> Any:
    """Return numbers as floats: uint16 is the upper half of a float32's bits."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(dtype)


def _compile_add(function: Any, rows: int, vectors: int, *, fetches: bool = False) -> None:
    """Have compiled code call, for a function of (a, b, c) above, one that is made of these blocks."""

    add_wide, add_narrow = (_add_block(rows, width, fetches=fetches) for width in (vectors, 1))
    add_single = _add_block(rows, 1, 1)

    @overload(function, jit_options=PART)
    def compiled(a, b, c, later=None):
        size = VECTOR_BYTES * 8 // c.dtype.bitwidth
        wide = vectors * size

        def add(a, b, c, later=None):
            columns = c.shape[1]
            # pass 1: c[:, x : x + wide] += a @ b[:, x : x + wide], some rows at a time
            for x in range(0, columns - columns % wide, wide):
                for r in range(0, c.shape[0], rows):
                    add_wide(a, b, later, c, r, x)
            # pass 2: the rest of the columns by single vectors
            for x in range(columns - columns % wide, columns - columns % size, size):
                for r in range(0, c.shape[0], rows):
                    add_narrow(a, b, later, c, r, x)
            # pass 3: the rest of them one by one
            for x in range(columns - columns % size, columns):
                for r in range(0, c.shape[0], rows):
                    add_single(a, b, later, c, r, x)

        return add


@overload(dots, jit_options=PART)
def _compiled_dots(x, weight, first, stop, out):
    def dot_all(x, weight, first, stop, out):
        R = x.shape[0]
        width = ALONE if R == 1 else DOT_COLUMNS
        ahead = max(width, AHEAD // max(1, weight.strides[0]))
        whole = stop - (stop - first) % width
        # pass 1: out[:, m : m + width] = x @ weight[m : m + width].T
        for m in range(first, whole, width):
            if R == 1:
                _dot_one(x, weight, 0, m, ahead, out)
            elif R <= DOT_ROWS:  # without a loop over r, what does not depend on m is computed once
                _dot_rows(x, weight, 0, m, ahead, out)
            else:
                for r in range(0, R, DOT_ROWS):
                    _dot_rows(x, weight, r, m, ahead, out)
        # pass 2: the rest of the matrix's rows one by one
        for m in range(whole, stop):
            for r in range(0, R, DOT_ROWS):
                _dot_last(x, weight, r, m, ahead, out)

    return dot_all


class _Matrix:
    """A two-dimensional array in generated code. Its methods return addresses and vectors in that code."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, value: Any, number: ir.Type) -> None:
        self.builder, self.number, self.stored = builder, number, kind.dtype
        array = context.make_array(kind)(context, builder, value)
        self.data = array.data
        self.rows, self.columns = (builder.extract_value(array.shape, axis) for axis in (0, 1))
        self.steps = [builder.sdiv(builder.extract_value(array.strides, axis), array.itemsize) for axis in (0, 1)]

    def row(self, index: Any) -> Any:
        """Return the address where row `index` begins."""
        return self.builder.gep(self.data, [self.builder.mul(index, self.steps[0])])

    def row_or_last(self, index: Any) -> Any:
        """Return the address where row `index` begins, or the last row if there is no such row."""
        last = self.builder.sub(self.rows, self.rows.type(1))
        return self.row(self.builder.select(self.builder.icmp_signed("<", index, last), index, last))

    def at(self, row: Any, column: Any) -> Any:
        """Return the address of a column of a row whose numbers are neighbours."""
        return self.builder.gep(row, [column])

    def apart(self, row: Any, column: Any) -> Any:
        """Return the address of a column of a row in an array of any order."""
        return self.builder.gep(row, [self.builder.mul(column, self.steps[1])])

    def load(self, address: Any, count: int, lanes: int) -> Any:
        """Load a vector of `count` neighbouring numbers and widen them to floats; the rest of the `lanes` are 0.

        Words are loaded as they are. Whole numbers become words where the arithmetic is of words.
        """
        stored = ir.VectorType(self.data.type.pointee, count)
        vector = self.builder.load(self.builder.bitcast(address, stored.as_pointer()), align=1)
        if self.number == WORD and self.stored in (int8, int16):
            halves = vector if self.stored == int16 else self.builder.sext(vector, ir.VectorType(HALF, count))
            filled = _filled(self.builder, halves, 2 * lanes)
            return self.builder.bitcast(filled, ir.VectorType(WORD, lanes))
        floats = ir.VectorType(self.number, count)
        if self.stored == uint16:
            bits = ir.VectorType(WORD, count)
            wide = self.builder.shl(self.builder.zext(vector, bits), ir.Constant(bits, [16] * count))
            vector = self.builder.bitcast(wide, floats)
        elif self.stored in (int8, int16):
            vector = self.builder.sitofp(vector, floats)
        return _filled(self.builder, vector, lanes)

    def fetch(self, address: Any) -> None:
        """Ask for what is at an address to be brought to the cache; an address beyond the array does no harm."""
        pointer, flag = ir.IntType(8).as_pointer(), WORD
        kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        prefetch = self.builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        self.builder.call(prefetch, [self.builder.bitcast(address, pointer), flag(0), flag(4 - CACHE), flag(1)])

    def store(self, vector: Any, address: Any) -> None:
        self.builder.store(vector, self.builder.bitcast(address, vector.type.as_pointer()), align=1)


def _indices(places: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(WORD, len(places)), places)


def _filled(builder: ir.IRBuilder, vector: Any, lanes: int) -> Any:
    """Return a vector with zeros behind it: `lanes` numbers."""
    count, zeros = vector.type.count, ir.Constant(vector.type, None)
    return builder.shuffle_vector(vector, zeros, _indices([min(lane, count) for lane in range(lanes)]))


def _sums(builder: ir.IRBuilder, vectors: list[Any], width: int) -> list[Any]:
    """Return the sums of the lanes of each vector, `width` sums in a vector.

    Each turn folds two vectors into one, which holds `part` lanes of every vector that went in: halves are added until
    one lane of each is left.
    """
    count = part = vectors[0].type.count
    folded = [(vector, [i]) for i, vector in enumerate(vectors)]
    while part > 1:
        part //= 2
        if len(folded) % 2:
            folded.append(folded[-1])
        pairs, folded = zip(folded[::2], folded[1::2], strict=True), []
        for (x, of_x), (y, of_y) in pairs:
            halves = []
            for first in (0, part):
                lanes = range(first, count, 2 * part)
                places = [start + base + t for start in lanes for base in (0, count) for t in range(part)]
                halves.append(builder.shuffle_vector(x, y, _indices(places)))
            add = builder.add if x.type.element == WORD else builder.fadd
            folded.append((add(*halves), [i for both in zip(of_x, of_y, strict=True) for i in both]))
    order = [i for _, of in folded for i in of]
    together = []
    for first in range(0, len(vectors), width):
        places = [order.index(i) for i in range(first, first + width)]
        low, high = min(places) // count, max(places) // count  # successive sums stand in two vectors at most
        lanes_of_sums = _indices([place - low * count for place in places])
        together.append(builder.shuffle_vector(folded[low][0], folded[high][0], lanes_of_sums))
    return together


def _multiply_add(builder: ir.IRBuilder, total: Any, x: Any, y: Any) -> Any:
    """Return total + x * y; of words of two int16 the two products are added, exactly.

    Many processors have an instruction for words. LLVM knows it by these lines.
    """
    if total.type.element == WORD:
        count = 2 * total.type.count
        halves, words = (ir.VectorType(number, count) for number in (HALF, WORD))
        products = builder.mul(*(builder.sext(builder.bitcast(operand, halves), words) for operand in (x, y)))
        both = (builder.shuffle_vector(products, products, _indices([*range(i, count, 2)])) for i in (0, 1))
        return builder.add(total, builder.add(*both))
    return builder.fadd(total, builder.fmul(x, y, flags=[*FUSED]), flags=[*FUSED])


def _loop(
    builder: ir.IRBuilder, start: Any, stop: Any, step: int, values: list[Any], turn: Callable[[Any, list[Any]], Any]
) -> list[Any]:
    """Generate `for i in range(start, stop, step): values = turn(i, values)`, and return the values after it."""
    before = builder.block
    head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    index, *carried = (builder.phi(value.type) for value in (start, *values))
    builder.cbranch(builder.icmp_signed("<", index, stop), body, after)
    builder.position_at_end(body)
    following = [builder.add(index, start.type(step)), *turn(index, carried)]
    for phi, first, later in zip([index, *carried], [start, *values], following, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return carried


def _matrices(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> list[_Matrix]:
    """Return the arguments that are arrays. The last of them has the type of the arithmetic."""
    arrays = [pair for pair in zip(signature.args, arguments, strict=True) if isinstance(pair[0], Array)]
    number = context.get_value_type(arrays[-1][0].dtype)
    return [_Matrix(context, builder, kind, value, number) for kind, value in arrays]


def _add_block(height: int, vectors: int, size: int | None = None, *, fetches: bool = False) -> Any:
    """Return the intrinsic (a, b, later, c, r, x): c += a @ b, of `height` rows from r, `vectors` vectors of columns
    from x. It fetches a line of `later`, if that is not None, for each term.

    size: numbers in a vector; None for as many as the registers hold
    fetches: True where as many numbers as these columns hold are fetched from behind b
    """

    @intrinsic
    def add(typing_context: Any, a: Any, b: Any, later: Any, c: Any, r: Any, x: Any) -> Any:
        count = size or VECTOR_BYTES * 8 // c.dtype.bitwidth

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            (A, B, *LATER, C), (r, x) = _matrices(context, builder, signature, arguments), arguments[4:]
            columns = [builder.add(x, x.type(j * count)) for j in range(vectors)]
            rows = [builder.add(r, r.type(i)) for i in range(height)]
            factors = [A.row_or_last(row) for row in rows]
            behind = [B.row(builder.sdiv(A.columns, A.columns.type(part))) for part in NEARER if fetches]
            places = [[C.at(C.row_or_last(row), column) for column in columns] for row in rows]
            turns = builder.mul(builder.sdiv(r, r.type(height)), A.columns)  # of the loop below, for the rows before r

            # sums[r, x] += a[r, u] * b[u, x]
            def step(u: Any, sums: list[Any]) -> list[Any]:
                row = B.row(u)
                fetched = builder.add(builder.mul(x, A.columns), builder.mul(u, u.type(vectors * count)))
                for start, j in itertools.product(behind, range(vectors)):
                    B.fetch(B.at(start, builder.add(fetched, u.type(j * count))))
                for matrix in LATER:
                    line = builder.mul(builder.add(turns, u), u.type(LINE * 8 // matrix.stored.bitwidth))
                    is_of_it = builder.icmp_signed("<", line, builder.mul(matrix.rows, matrix.steps[0]))
                    matrix.fetch(matrix.at(matrix.data, builder.select(is_of_it, line, u.type(0))))
                operands = [B.load(B.at(row, column), count, count) for column in columns]
                singles = (A.load(A.apart(factor, u), 1, 1) for factor in factors)
                spread = (builder.shuffle_vector(single, single, _indices([0] * count)) for single in singles)
                products = [(factor, operand) for factor in spread for operand in operands]
                return [_multiply_add(builder, total, *pair) for total, pair in zip(sums, products, strict=True)]

            flat = [place for row in places for place in row]
            floats = ir.VectorType(C.number, count)
            of_sums = ir.VectorType(A.data.type.pointee, count)
            sums = _loop(builder, x.type(0), A.columns, 1, [ir.Constant(of_sums, None)] * len(flat), step)
            if a.dtype == int32:
                sums = [builder.sitofp(total, floats) for total in sums]
            # subtle: where rows are missing, the last one stands for them; so all is loaded before any is stored
            totals = [builder.fadd(C.load(place, count, count), more) for place, more in zip(flat, sums, strict=True)]
            for total, place in zip(totals, flat, strict=True):
                C.store(total, place)
            return context.get_dummy_value()

        return void(a, b, later, c, r, x), generate

    return add


_compile_add(add_product, ROWS, VECTORS)
_compile_add(add_product_once, DOT_ROWS, VECTORS, fetches=True)  # for the few rows of decoding
_compile_add(add_pairs, PAIR_ROWS, PAIR_VECTORS)


def _transpose_block(size: int | None = None) -> Any:
    """Return the intrinsic (a, b, r, x): b[x : x + size, r : r + size] = a[r : r + size, x : x + size].T.

    size: numbers in a vector; None for as many as a register holds
    """

    @intrinsic
    def transpose(typing_context: Any, a: Any, b: Any, r: Any, x: Any) -> Any:
        count = size or VECTOR_BYTES * 8 // b.dtype.bitwidth

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            (A, B), (r, x) = _matrices(context, builder, signature, arguments), arguments[2:]
            lines = [A.load(A.at(A.row(builder.add(r, r.type(i))), x), count, count) for i in range(count)]
            # Each turn exchanges parts of two vectors: single numbers at first, then pairs, at last halves.
            part = 1
            while part < count:
                is_second = [bool(lane & part) for lane in range(count)]
                left = [count + lane - part if second else lane for lane, second in enumerate(is_second)]
                right = [count + lane if second else lane + part for lane, second in enumerate(is_second)]
                for i in (i for i in range(count) if not i & part):
                    pair = lines[i], lines[i + part]
                    lines[i], lines[i + part] = (builder.shuffle_vector(*pair, _indices(p)) for p in (left, right))
                part *= 2
            for i, line in enumerate(lines):
                B.store(line, B.at(B.row(builder.add(x, x.type(i))), r))
            return context.get_dummy_value()

        return void(a, b, r, x), generate

    return transpose


_transpose_wide, _transpose_single = _transpose_block(), _transpose_block(1)


@overload(transpose, jit_options=PART)
def _compiled_transpose(a, b):
    size = VECTOR_BYTES * 8 // b.dtype.bitwidth

    def transpose_all(a, b):
        M, U = a.shape
        rows, columns = M - M % size, U - U % size
        # pass 1: what fills vectors
        for r in range(0, rows, size):
            for x in range(0, columns, size):
                _transpose_wide(a, b, r, x)
        # pass 2: the rest one by one
        for r in range(M):
            for x in range(columns if r < rows else 0, U):
                _transpose_single(a, b, r, x)

    return transpose_all


def _dot_block(height: int, width: int) -> Any:
    """Return the intrinsic (x, weight, r, m, ahead, out): out[:, m] = x @ weight[m] for `height` rows from r on and
    `width` rows of the matrix from m on. It fetches as many rows of the matrix, `ahead` rows further on.

    A processor foresees by itself what is read next only where one row is read after the other.
    """

    @intrinsic
    def dot(typing_context: Any, x: Any, weight: Any, r: Any, m: Any, ahead: Any, out: Any) -> Any:
        count = VECTOR_BYTES * 8 // out.dtype.bitwidth

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            (X, W, OUT), (r, m, ahead) = _matrices(context, builder, signature, arguments), arguments[2:5]
            if X.stored == int16:
                X.number = W.number = WORD
            at_once = 2 * count if X.number == WORD else count  # numbers of a row
            rows = [builder.add(r, r.type(i)) for i in range(height)]
            columns = [builder.add(m, m.type(j)) for j in range(width)]
            left, right = [X.row_or_last(row) for row in rows], [W.row(column) for column in columns]
            places = [OUT.at(OUT.row_or_last(row), m) for row in rows]
            distances = [builder.sdiv(ahead, ahead.type(part)) for part in NEARER]
            later = [W.row(builder.add(column, distance)) for distance in distances for column in columns]

            def steps_of(size: int) -> Callable[[Any, list[Any]], list[Any]]:
                # sums[r, m] += x[r, u : u + size] * weight[m, u : u + size]
                def step(u: Any, sums: list[Any]) -> list[Any]:
                    for row in later:
                        W.fetch(W.at(row, u))
                    weights = [W.load(W.at(row, u), size, count) for row in right]
                    pairs = ((x, w) for x in (X.load(X.at(row, u), size, count) for row in left) for w in weights)
                    return [_multiply_add(builder, total, *pair) for total, pair in zip(sums, pairs, strict=True)]

                return step

            whole = builder.sub(X.columns, builder.srem(X.columns, r.type(at_once)))
            zeros = [ir.Constant(ir.VectorType(X.number, count), None)] * (height * width)
            sums = _loop(builder, r.type(0), whole, at_once, zeros, steps_of(at_once))
            sums = _loop(builder, whole, X.columns, 1, sums, steps_of(1))
            for total, place in zip(_sums(builder, sums, width), places, strict=True):
                floats = ir.VectorType(OUT.number, width)
                OUT.store(builder.sitofp(total, floats) if X.number == WORD else total, place)
            return context.get_dummy_value()

        return void(x, weight, r, m, ahead, out), generate

    return dot


_dot_one, _dot_rows, _dot_last = _dot_block(1, ALONE), _dot_block(DOT_ROWS, DOT_COLUMNS), _dot_block(DOT_ROWS, 1)
