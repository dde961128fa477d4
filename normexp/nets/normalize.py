"""Norms of one network's rows and their gradients, compiled: see `normexp.nets.kernels`."""

import numpy as np

from normexp.nets.compile import compiled
from normexp.nets.kernels import D_MAX, GROUP, R_MAX, RENORM, RMS, WEIGHT, Array, Pair, Recipe


@compiled
def normalize(
    r: Recipe,
    s: Array,
    x: int,
    z: int,
    n: int,
    channels: int,
    c: Array,
    at: int,
    step: Array,
    running: Pair,
    left: Pair,
) -> None:
    """Put rows x, in units of the batch or its parts, into rows z.

    What they are divided by is `WEIGHT` parts of the batch's statistics and the rest of the running
    ones: 1 of batch norm in training, 0 in evaluation.

    Args:
        c: to be filled for `normalize_back`, [4, parts, all channels].
        at: first of these channels among all.
        step: of the course.
        running: running mean and variance before this step, each [all channels].
        left: to be filled with mean and unbiased variance, each [parts, all channels].
    """
    real, weight, size = s.dtype.type, step[WEIGHT], r.size or n
    for part in range((n + size - 1) // size):
        start, stop = np.uint64(part * size), np.uint64(min(n, part * size + size))
        count = real(np.int64(stop - start))  # loops over unsigned numbers use vectors
        for j in range(channels):
            k = at + j
            mean = var = real(0)
            if weight > 0:
                for i in range(start, stop):
                    mean += s[x + j, i]
                mean /= count
                for i in range(start, stop):
                    var += (s[x + j, i] - mean) * (s[x + j, i] - mean)
                left[0][part, k], left[1][part, k] = mean, var / (count - real(1))
                var /= count - real(r.unbiased)
            centre = mean
            if weight < 1:
                centre = real(running[0][k] * (1 - weight) + mean * weight)
                var = real(running[1][k] * (1 - weight) + var * weight)
            scale = real(1) / np.sqrt(var + real(r.eps))
            c[0, part, k], c[1, part, k] = scale, scale * (centre - mean)
            if r.norm == RENORM:  # by the running deviation, within limits
                known = np.sqrt(running[1][k] + r.eps)
                ratio, apart = 1 / (scale * known), (mean - running[0][k]) / known
                c[2, part, k] = min(max(ratio, 1 / step[R_MAX]), step[R_MAX])
                c[3, part, k] = min(max(apart, -step[D_MAX]), step[D_MAX])
            for i in range(start, stop):
                s[z + j, i] = (s[x + j, i] - centre) * scale


@compiled
def normalize_back(
    r: Recipe,
    s: Array,
    d: int,
    z: int,
    n: int,
    channels: int,
    c: Array,
    at: int,
    step: Array,
    p: Array,
    g: Array,
    affine: int,
) -> None:
    """Turn rows d from the gradient by what is scaled and shifted into that by `normalize`'s x.

    Args:
        c: what that has left.
        p: has scale and shift, from `affine` on; −1 if there are none.
        g: to be filled with their gradients.
    """
    real, weight, size = s.dtype.type, s.dtype.type(step[WEIGHT]), r.size or n
    for j in range(channels):
        by_scale = by_shift = real(0)
        for part in range((n + size - 1) // size):
            start, stop = np.uint64(part * size), np.uint64(min(n, part * size + size))
            count = real(np.int64(stop - start))
            factor, offset, ratio, apart = (
                c[0, part, at + j],
                c[1, part, at + j],
                c[2, part, at + j],
                c[3, part, at + j],
            )
            total = moment = real(0)
            for i in range(start, stop):
                total += s[d + j, i]
                moment += s[d + j, i] * s[z + j, i]
            by_scale += ratio * moment + apart * total
            by_shift += total
            moment *= weight / (count - real(r.unbiased))
            total = total * weight / count + moment * offset
            factor *= ratio
            if affine >= 0:
                factor *= p[affine + j]
            for i in range(start, stop):
                s[d + j, i] = factor * (s[d + j, i] - total - s[z + j, i] * moment)
        if affine >= 0:
            g[affine + j], g[affine + channels + j] = by_scale, by_shift


@compiled
def normalize_examples(
    r: Recipe, s: Array, x: int, z: int, n: int, channels: int, scales: int, spare: int
) -> None:
    """Put rows x, in units of each example's groups of channels, into rows z.

    Args:
        scales: rows for what each group is multiplied by.
        spare: a row to work in.
    """
    real, members = s.dtype.type, channels // r.size
    for group in range(r.size):
        scale, first = scales + group, group * members
        for i in range(n):
            s[spare, i] = s[scale, i] = 0
        if r.norm == GROUP:
            for j in range(first, first + members):
                for i in range(n):
                    s[spare, i] += s[x + j, i] / real(members)
        for j in range(first, first + members):
            for i in range(n):
                s[scale, i] += (s[x + j, i] - s[spare, i]) * (s[x + j, i] - s[spare, i])
        for i in range(n):
            var = s[scale, i] / real(members - r.unbiased)
            s[scale, i] = real(1) / np.sqrt(var + real(r.eps))
        for j in range(first, first + members):
            for i in range(n):
                s[z + j, i] = (s[x + j, i] - s[spare, i]) * s[scale, i]


@compiled
def normalize_examples_back(
    r: Recipe,
    s: Array,
    d: int,
    z: int,
    n: int,
    channels: int,
    scales: int,
    spare: int,
    p: Array,
    g: Array,
    affine: int,
) -> None:
    """Turn rows d as `normalize_back` does; `spare` is two rows."""
    real, members = s.dtype.type, channels // r.size
    moment = spare + 1
    for group in range(r.size):
        first = group * members
        for i in range(n):
            s[spare, i] = s[moment, i] = 0
        for j in range(first, first + members):
            by_scale, by_shift, scale = real(0), real(0), real(1)
            if affine >= 0:
                scale = p[affine + j]
            for i in range(n):
                t = s[d + j, i]
                by_scale += t * s[z + j, i]
                by_shift += t
                t *= scale
                s[d + j, i] = t
                s[spare, i] += t / real(members)
                s[moment, i] += t * s[z + j, i] / real(members - r.unbiased)
            if affine >= 0:
                g[affine + j] = by_scale
                if r.norm == GROUP:
                    g[affine + channels + j] = by_shift
        if r.norm == RMS:
            for i in range(n):
                s[spare, i] = 0
        for j in range(first, first + members):
            for i in range(n):
                apart = s[d + j, i] - s[spare, i] - s[z + j, i] * s[moment, i]
                s[d + j, i] = apart * s[scales + group, i]
