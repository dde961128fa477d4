"""Norms of one network's rows and their gradients, compiled: see `normexp.nets.kernels`."""

import numpy as np

from normexp.nets.compile import compiled
from normexp.nets.kernels import (
    AFFINE,
    CHANNEL,
    D_MAX,
    GROUP,
    OWN,
    R_MAX,
    RENORM,
    SCALES,
    UNITS,
    Z,
)


@compiled
def normalize(r, s, x, n, stage, c, step, running, left):
    """Put rows x, in units of the batch or its parts, into rows z of a stage.

    What they are divided by is `OWN` parts of the batch's statistics and the rest of the running
    ones: 1 of batch norm in training, 0 in evaluation.

    Args:
        r: of the network.
        s: all rows.
        x: the first of those to be normalised.
        n: examples.
        stage: whose norm it is.
        c: to be filled for `normalize_back`, [4, parts, channels].
        step: of the course.
        running: running mean and variance before this step, each [channels].
        left: to be filled with mean and unbiased variance, each [parts, channels].
    """
    real, own, size = s.dtype.type, step[OWN], r.size or n
    for part in range((n + size - 1) // size):
        start, stop = np.uint64(part * size), np.uint64(min(n, part * size + size))
        count = real(np.int64(stop - start))  # loops over unsigned numbers use vectors
        for j in range(stage[UNITS]):
            k, y, z = stage[CHANNEL] + j, x + j, stage[Z] + j
            mean = var = real(0)
            if own > 0:
                for i in range(start, stop):
                    mean += s[y, i]
                mean /= count
                for i in range(start, stop):
                    var += (s[y, i] - mean) * (s[y, i] - mean)
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
            for i in range(start, stop):
                s[z, i] = (s[y, i] - centre) * scale


@compiled
def normalize_back(r, s, d, n, stage, c, step, p, g):
    """Turn rows d from the gradient by what is scaled and shifted into that by `normalize`'s x.

    p has scale and shift, and g is filled with their gradients.
    """
    real, own, size, affine = s.dtype.type, s.dtype.type(step[OWN]), r.size or n, stage[AFFINE]
    for j in range(stage[UNITS]):
        k, y, z = stage[CHANNEL] + j, d + j, stage[Z] + j
        by_scale = by_shift = real(0)
        for part in range((n + size - 1) // size):
            start, stop = np.uint64(part * size), np.uint64(min(n, part * size + size))
            count = real(np.int64(stop - start))
            total = moment = real(0)
            for i in range(start, stop):
                total += s[y, i]
                moment += s[y, i] * s[z, i]
            by_scale += c[2, part, k] * moment + c[3, part, k] * total
            by_shift += total
            moment *= own / (count - real(r.unbiased))
            total = total * own / count + moment * c[1, part, k]
            factor = c[0, part, k] * c[2, part, k]
            if affine >= 0:
                factor *= p[affine + j]
            for i in range(start, stop):
                s[y, i] = factor * (s[y, i] - total - s[z, i] * moment)
        if affine >= 0:
            g[affine + j], g[affine + stage[UNITS] + j] = by_scale, by_shift


@compiled
def normalize_examples(r, s, x, n, stage):
    """Put rows x, in units of each example's groups of channels, into rows z of a stage."""
    real, members, mean = s.dtype.type, stage[UNITS] // r.size, r.rows
    for group in range(r.size):
        scale, first = stage[SCALES] + group, group * members
        for i in range(n):
            s[mean, i] = s[scale, i] = 0
        if r.norm == GROUP:
            for j in range(x + first, x + first + members):
                for i in range(n):
                    s[mean, i] += s[j, i] / real(members)
        for j in range(x + first, x + first + members):
            for i in range(n):
                s[scale, i] += (s[j, i] - s[mean, i]) * (s[j, i] - s[mean, i])
        for i in range(n):
            var = s[scale, i] / real(members - r.unbiased)
            s[scale, i] = real(1) / np.sqrt(var + real(r.eps))
        for j in range(first, first + members):
            for i in range(n):
                s[stage[Z] + j, i] = (s[x + j, i] - s[mean, i]) * s[scale, i]


@compiled
def normalize_examples_back(r, s, d, n, stage, p, g):
    """Turn rows d as `normalize_back` does."""
    real, units, affine = s.dtype.type, stage[UNITS], stage[AFFINE]
    members, total, moment = units // r.size, r.rows, r.rows + 1
    for group in range(r.size):
        channels = range(group * members, group * members + members)
        for i in range(n):
            s[total, i] = s[moment, i] = 0
        for j in channels:
            by_scale, by_shift, scale = real(0), real(0), real(1)
            if affine >= 0:
                scale = p[affine + j]
            for i in range(n):
                t = s[d + j, i]
                by_shift += t
                by_scale += t * s[stage[Z] + j, i]
                s[d + j, i] = t * scale
                s[total, i] += t * scale * real(r.norm == GROUP)
                s[moment, i] += t * scale * s[stage[Z] + j, i]
            if affine >= 0:
                g[affine + j] = by_scale
                if r.norm == GROUP:
                    g[affine + units + j] = by_shift
        of_total, of_moment = real(1) / real(members), real(1) / real(members - r.unbiased)
        for j in channels:
            for i in range(n):
                by_mean = s[total, i] * of_total + s[stage[Z] + j, i] * s[moment, i] * of_moment
                s[d + j, i] = (s[d + j, i] - by_mean) * s[stage[SCALES] + group, i]
