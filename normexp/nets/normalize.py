"""Norms of one network's rows and their gradients, compiled: see `normexp.nets.kernels`."""

import numpy as np

from normexp.nets.compile import compiled
from normexp.nets.kernels import (
    AFFINE,
    CHANNEL,
    D_MAX,
    GROUP,
    OWN,
    PIXELS,
    R_MAX,
    RENORM,
    SCALES,
    SHARED,
    UNITS,
    Y,
    Z,
)


@compiled
def normalize(r, s, n, stage, c, step, running, left):
    """Put rows y of a stage, in units of the batch or its parts, into rows z.

    What they are divided by is `OWN` parts of the batch's statistics and the rest of the running
    ones: 1 of batch norm in training, 0 in evaluation.

    Args:
        r: of the network.
        s: all rows.
        n: examples.
        stage: whose norm it is.
        c: to be filled for `normalize_back`, [4, parts, channels].
        step: of the course.
        running: running mean and variance before this step, each [channels].
        left: to be filled with mean and unbiased variance, each [parts, channels].
    """
    real, own, size, pixels = s.dtype.type, step[OWN], r.size or n, stage[PIXELS]
    for part in range((n + size - 1) // size):
        start, stop = np.uint64(part * size), np.uint64(min(n, part * size + size))
        count = real(np.int64(stop - start) * pixels)  # loops over unsigned numbers use vectors
        for j in range(stage[UNITS]):
            k, y, z = stage[CHANNEL] + j, stage[Y] + j * pixels, stage[Z] + j * pixels
            mean = var = real(0)
            if own > 0:
                for row in range(y, y + pixels):
                    for i in range(start, stop):
                        mean += s[row, i]
                mean /= count
                for row in range(y, y + pixels):
                    for i in range(start, stop):
                        var += (s[row, i] - mean) * (s[row, i] - mean)
                left[0][part, k], left[1][part, k] = mean, var / (count - real(1))
                var /= count - real(r.unbiased)
            centre = mean
            if own < 1:
                centre = real(running[0][k] * (1 - own) + mean * own)
                var = real(running[1][k] * (1 - own) + var * own)
            scale = real(1) / np.sqrt(var + real(r.eps))
            c[0, part, k], c[1, part, k] = scale, scale * (centre - mean)
            if r.norm == RENORM:  # by the running deviation, within limits
                known = np.sqrt(running[1][k] + r.eps)
                ratio, apart = 1 / (scale * known), (mean - running[0][k]) / known
                c[2, part, k] = min(max(ratio, 1 / step[R_MAX]), step[R_MAX])
                c[3, part, k] = min(max(apart, -step[D_MAX]), step[D_MAX])
            for row in range(pixels):
                for i in range(start, stop):
                    s[z + row, i] = (s[y + row, i] - centre) * scale


@compiled
def normalize_back(r, s, d, n, stage, c, step, p, g):
    """Turn rows d from the gradient by what is scaled and shifted into that by `normalize`'s y.

    p has scale and shift, and g is filled with their gradients.
    """
    real, own, size, affine = s.dtype.type, s.dtype.type(step[OWN]), r.size or n, stage[AFFINE]
    pixels = stage[PIXELS]
    for j in range(stage[UNITS]):
        k, y, z = stage[CHANNEL] + j, d + j * pixels, stage[Z] + j * pixels
        by_scale = by_shift = real(0)
        for part in range((n + size - 1) // size):
            start, stop = np.uint64(part * size), np.uint64(min(n, part * size + size))
            count = real(np.int64(stop - start) * pixels)
            total = moment = real(0)
            for row in range(pixels):
                for i in range(start, stop):
                    total += s[y + row, i]
                    moment += s[y + row, i] * s[z + row, i]
            by_scale += c[2, part, k] * moment + c[3, part, k] * total
            by_shift += total
            moment *= own / (count - real(r.unbiased))
            total = total * own / count + moment * c[1, part, k]
            factor = c[0, part, k] * c[2, part, k]
            if affine >= 0:
                factor *= p[affine + j]
            for row in range(pixels):
                for i in range(start, stop):
                    apart = s[y + row, i] - total - s[z + row, i] * moment
                    s[y + row, i] = factor * apart
        if affine >= 0:
            g[affine + j], g[affine + stage[UNITS] + j] = by_scale, by_shift


@compiled
def normalize_examples(r, s, n, stage):
    """Put rows y of a stage, in units of each example's groups of channels, into rows z."""
    real, members, mean = s.dtype.type, stage[UNITS] * stage[PIXELS] // r.size, r.rows
    for group in range(r.size):
        scale, first = stage[SCALES] + group, group * members
        y, z = stage[Y] + first, stage[Z] + first
        for i in range(n):
            s[mean, i] = s[scale, i] = 0
        if r.norm == GROUP:
            for j in range(members):
                for i in range(n):
                    s[mean, i] += s[y + j, i] / real(members)
        for j in range(members):
            for i in range(n):
                s[scale, i] += (s[y + j, i] - s[mean, i]) * (s[y + j, i] - s[mean, i])
        for i in range(n):
            var = s[scale, i] / real(members - r.unbiased)
            s[scale, i] = real(1) / np.sqrt(var + real(r.eps))
        for j in range(members):
            for i in range(n):
                s[z + j, i] = (s[y + j, i] - s[mean, i]) * s[scale, i]


@compiled
def normalize_examples_back(r, s, d, n, stage, p, g):
    """Turn rows d as `normalize_back` does."""
    real, affine, rows = s.dtype.type, stage[AFFINE], stage[UNITS] * stage[PIXELS]
    shared, members = stage[SHARED], rows // r.size
    total, moment, centred = r.rows, r.rows + 1, real(r.norm == GROUP)
    for group in range(r.size):
        first, scale = group * members, stage[SCALES] + group
        y, z = d + first, stage[Z] + first
        for i in range(n):
            s[total, i] = s[moment, i] = 0
        for j in range(members):
            by_scale, by_shift, factor, k = (
                real(0),
                real(0),
                real(1),
                affine + (first + j) // shared,
            )
            if affine >= 0:
                factor = p[k]
            for i in range(n):
                by_shift += s[y + j, i]
                by_scale += s[y + j, i] * s[z + j, i]
                s[y + j, i] *= factor
                s[total, i] += s[y + j, i] * centred / real(members)
                s[moment, i] += s[y + j, i] * s[z + j, i] / real(members - r.unbiased)
            if affine >= 0:
                g[k] += by_scale
                if r.norm == GROUP:
                    g[k + rows // shared] += by_shift
        for j in range(members):
            for i in range(n):
                by_mean = s[total, i] + s[z + j, i] * s[moment, i]
                s[y + j, i] = (s[y + j, i] - by_mean) * s[scale, i]
