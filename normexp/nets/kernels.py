"""Arithmetic of one network on rows of numbers, compiled: activations and products.

A row has a number an example. All rows of a pass stand in one array, and functions are told which
by their first: one network fits into the nearest cache, and none ever meets another.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import overload

from normexp.nets.compile import EXACT, compiled, element

Array = np.ndarray[Any, Any]

IDENTITY, TANH, RELU, GELU, SILU, SIGMOID, POOL = range(7)
NO_NORM, BATCH, RENORM, GROUP, RMS = range(5)
ADAM, ADAMW, SGD = range(3)

LAYER, INPUTS, UNITS, X, Y, Z, H, AFFINE, CHANNEL, SCALES, KIND = range(11)
PIXELS, SHARED, TAKEN, LIST = range(11, 15)
"""Columns of a stage: where its layer's weight and bias stand among the parameters, −1 for none;
numbers that each number of the layer is made of; its units, or channels of an image; the first rows
of what it takes, of what the layer, the norm and the activation give, never the same where both are
there, or loops could not use vectors; where scale and shift of the norm stand, −1 for none; the
first channel of the norm among all, −1 for none; rows for what norms of examples multiply by; the
activation, or that it pools; rows of each unit; how many of them share scale and shift; rows of
what it takes; where its lists of rows begin.

The lists of a layer say which rows each pixel is made of, counted from X, and where units begin.
Those of a pool have its `INPUTS` rows for each row that it gives."""

RATE, DECAY, OWN, MOMENTUM, R_MAX, D_MAX = range(6)
"""Columns of a training's course, a row a step: learning rate and weight decay; the weight of the
batch in what normalises it, and in the running statistics; the limits of renormalisation."""

ERFC = (
    *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
    *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
)
"""Press et al., "Numerical Recipes in C", section 6.2: erfc to 1.2e-7."""


class Recipe(NamedTuple):
    """What all stages of a network share, and its optimizer; yes is 1."""

    norm: int
    unbiased: int  # the variance that is divided by
    averaged_unbiased: int  # the variance that is averaged
    size: int  # examples normalised together, 0 for all; of group norms, the groups of channels
    eps: float
    optimizer: int
    beta1: float
    beta2: float
    optimizer_eps: float
    nesterov: int
    rows: int  # of all stages
    widest: int  # numbers of the widest of them


def exponential_less_one(x: float) -> float:
    """Return e^x − 1; see below."""
    return math.expm1(x)


@overload(exponential_less_one, jit_options=EXACT)
def _exponential_less_one(x: Any) -> Any:
    """e^x − 1 = 2^n·(e^r − 1) + 2^n − 1 with r = x − n·ln 2, by its series, without a branch."""
    single = x == numba.float32
    types: Any = (np.float32, np.int32) if single else (np.float64, np.int64)
    real, whole = types
    bits, bias, terms = (23, 127, 8) if single else (52, 1023, 14)
    most, turns, one, half = real(0.69 * bias), real(1 / math.log(2)), real(1), real(0.5)
    high, low = real(0.693145751953125), real(1.42860682030941723212e-6)  # ln 2 in two parts
    whole_numbers = real(1.5 * 2.0**bits)  # where the last bit counts ones
    exponent, shift = whole(bias << bits), whole(bits)

    def implementation(x: Any) -> Any:
        x = most if x > most else x
        x = -most if x < -most else x
        shifted = x * turns + whole_numbers
        n = shifted - whole_numbers
        r = (x - n * high) - n * low
        series = one
        for k in range(terms - 2):
            series = one + series * r * real(1 / (terms - k))
        power = whole((real(shifted).view(whole) << shift) + exponent).view(real)
        return power * (r + r * r * half * series) + (power - one)

    return implementation


@element
def tanh(x):
    """Return the hyperbolic tangent; in float32 to 1.7e-7, as the C library's."""
    t = exponential_less_one(abs(x + x))
    return math.copysign(t / (t + type(x)(2)), x)


@element
def sigmoid(x):
    """Return 1 / (1 + e^−x)."""
    return type(x)(1) / (type(x)(2) + exponential_less_one(-x))


@element
def normal(x):
    """Return the share of a normal distribution below x."""
    real = type(x)
    if real(1) + real(1e-9) != real(1):
        return real(0.5) * (real(1) + real(math.erf(x * real(math.sqrt(0.5)))))
    z = abs(x) * real(math.sqrt(0.5))
    t = real(1) / (real(1) + real(0.5) * z)
    series = real(0)
    for c in ERFC:
        series = series * t + real(c)
    tail = real(0.5) * t * (exponential_less_one(series - z * z) + real(1))
    return tail if x < real(0) else real(1) - tail


@compiled
def activate(kind, s, x, y, n, scale, shift):
    """Make row y the activation of scale · row x + shift."""
    if kind == TANH:
        for i in range(n):
            s[y, i] = tanh(s[x, i] * scale + shift)
        return
    zero = s.dtype.type(0)
    for i in range(n):
        s[y, i] = s[x, i] * scale + shift
    if kind == RELU:
        for i in range(n):
            s[y, i] = zero if s[y, i] < zero else s[y, i]
    elif kind == SIGMOID:
        for i in range(n):
            s[y, i] = sigmoid(s[y, i])
    elif kind == SILU:
        for i in range(n):
            s[y, i] *= sigmoid(s[y, i])
    elif kind == GELU:
        for i in range(n):
            s[y, i] *= normal(s[y, i])


@compiled
def descend(kind, s, x, y, d, n, scale, shift):
    """Turn row d from the gradient by row y of `activate` into that by its argument."""
    real = s.dtype.type
    one, zero = real(1), real(0)
    if kind == TANH:
        for i in range(n):
            s[d, i] *= one - s[y, i] * s[y, i]
    elif kind == RELU:
        for i in range(n):
            s[d, i] *= real(s[y, i] > zero)
    elif kind == SIGMOID:
        for i in range(n):
            s[d, i] *= s[y, i] * (one - s[y, i])
    elif kind == SILU:
        for i in range(n):
            share = sigmoid(s[x, i] * scale + shift)
            s[d, i] *= share + s[y, i] * (one - share)
    elif kind == GELU:
        root = real(math.sqrt(0.5 / math.pi))
        for i in range(n):
            t = s[x, i] * scale + shift
            density = root * (exponential_less_one(real(-0.5) * t * t) + one)
            s[d, i] *= (real(0.5) if t == zero else s[y, i] / t) + t * density


@compiled
def multiply(s, x, xs, y, ys, n, p, at, across, down, spare):
    """Add to rows y + `ys` a matrix times rows x + `xs`.

    Args:
        p: has the matrix, its (j, k) at `at` + j·`across` + k·`down`.
        spare: a row that nobody uses, the neighbour of a last row that has none.
    """
    for j in range(0, len(ys), 2):  # two rows in one pass over five others
        single = j + 1 == len(ys)
        row, other = y + ys[j], spare if single else y + ys[j + 1]
        k, v = 0, at + j * across
        w = v if single else v + across
        while k + 5 <= len(xs):
            v0, v1, v2 = p[v], p[v + down], p[v + 2 * down]
            w0, w1, w2 = p[w], p[w + down], p[w + 2 * down]
            v3, v4 = p[v + 3 * down], p[v + 4 * down]
            w3, w4 = p[w + 3 * down], p[w + 4 * down]
            x0, x1, x2, x3, x4 = xs[k], xs[k + 1], xs[k + 2], xs[k + 3], xs[k + 4]
            for i in range(n):
                a, b, c = s[x + x0, i], s[x + x1, i], s[x + x2, i]
                d, e = s[x + x3, i], s[x + x4, i]
                s[row, i] += v0 * a + v1 * b + v2 * c + v3 * d + v4 * e
                s[other, i] += w0 * a + w1 * b + w2 * c + w3 * d + w4 * e
            k, v, w = k + 5, v + 5 * down, w + 5 * down
        while k < len(xs):
            v0, w0, x0 = p[v], p[w], xs[k]
            for i in range(n):
                s[row, i] += v0 * s[x + x0, i]
                s[other, i] += w0 * s[x + x0, i]
            k, v, w = k + 1, v + down, w + down


@compiled
def correlate(s, d, ds, x, xs, n, g, at):
    """Add products of rows d + `ds` and rows x + `xs` to a matrix, which begins at `at` of g."""
    zero, columns = s.dtype.type(0), len(xs)
    for k in range(columns):
        j, w, row = 0, at + k, x + xs[k]
        while j + 4 <= len(ds):  # in one pass over the row
            a = b = c = e = zero
            f, h, o, q = ds[j], ds[j + 1], ds[j + 2], ds[j + 3]
            for i in range(n):
                a += s[d + f, i] * s[row, i]
                b += s[d + h, i] * s[row, i]
                c += s[d + o, i] * s[row, i]
                e += s[d + q, i] * s[row, i]
            g[w] += a
            g[w + columns] += b
            g[w + 2 * columns] += c
            g[w + 3 * columns] += e
            j, w = j + 4, w + 4 * columns
        while j < len(ds):
            a, f = zero, ds[j]
            for i in range(n):
                a += s[d + f, i] * s[row, i]
            g[w] += a
            j, w = j + 1, w + columns


@compiled
def pool(s, n, stage, lists):
    """Fill rows h of a stage with the largest of each of its lists of rows."""
    for u in range(stage[UNITS]):
        h = stage[H] + u
        for q in range(stage[INPUTS]):
            x = stage[X] + lists[stage[LIST] + u * stage[INPUTS] + q]
            for i in range(n):
                new = (q == 0) | (s[x, i] > s[h, i]) | (s[x, i] != s[x, i])  # NaN comes through
                s[h, i] = s[x, i] if new else s[h, i]


@compiled
def pool_back(s, d, e, n, stage, lists):
    """Put the gradient by rows h, rows d, to the first of the largest, in rows e."""
    zero = s.dtype.type(0)
    for u in range(stage[UNITS]):
        h = stage[H] + u
        for q in range(stage[INPUTS]):
            row = lists[stage[LIST] + u * stage[INPUTS] + q]
            x, target = stage[X] + row, e + row
            for i in range(n):
                s[target, i] = s[d + u, i] if s[x, i] == s[h, i] else zero
                s[d + u, i] -= s[target, i]
