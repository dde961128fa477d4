"""Training and evaluation of one network, compiled: see `normexp.nets.kernels`.

A network is a table of stages, each a pool or a layer, a norm, an activation, or several of these,
in this order: `normexp.nets.compiled` makes it. Each pixel of a channel is a row.
"""

import math

import numpy as np

from normexp.nets.compile import compiled, entry
from normexp.nets.kernels import (
    ADAMW,
    AFFINE,
    CHANNEL,
    DECAY,
    GROUP,
    INPUTS,
    KIND,
    LAYER,
    LIST,
    MOMENTUM,
    OWN,
    PIXELS,
    POOL,
    RATE,
    RENORM,
    RMS,
    SGD,
    SHARED,
    TAKEN,
    UNITS,
    H,
    X,
    Y,
    Z,
    activate,
    correlate,
    descend,
    exponential_less_one,
    multiply,
    pool,
    pool_back,
)
from normexp.nets.normalize import (
    normalize,
    normalize_back,
    normalize_examples,
    normalize_examples_back,
)

BLOCK = 64
"""Examples that are evaluated at a time where none depends on another: their rows stay in cache."""


@compiled
def scaling(r, p, c, stage, row):
    """Return scale and shift of a stage's row, in units of its norm."""
    scale, shift, affine = p.dtype.type(1), p.dtype.type(0), stage[AFFINE]
    if affine >= 0:
        scale = p[affine + row // stage[SHARED]]
        if r.norm != RMS:
            shift = p[affine + (stage[UNITS] * stage[PIXELS] + row) // stage[SHARED]]
    if r.norm == RENORM and stage[CHANNEL] >= 0:
        k = stage[CHANNEL] + row // stage[PIXELS]
        return scale * c[2, 0, k], shift + scale * c[3, 0, k]
    return scale, shift


@compiled
def parts_of(stage, lists, pixel):
    """Return the rows that a pixel is made of, from X on, and those of its units, from Y on."""
    at, inputs = stage[LIST], stage[INPUTS]
    units = at + stage[PIXELS] * inputs + pixel * stage[UNITS]
    return lists[at + pixel * inputs : at + (pixel + 1) * inputs], lists[
        units : units + stage[UNITS]
    ]


@compiled
def forward(r, t, lists, p, s, n, c, step, running, left):
    """From the examples, in the first rows, to the prediction, h of the last stage."""
    for stage in t:
        y, z, units, w = stage[Y], stage[Z], stage[UNITS], stage[LAYER]
        pixels, into = stage[PIXELS], stage[INPUTS]
        if stage[KIND] == POOL:
            pool(s, n, stage, lists)
            continue
        if w >= 0:
            for j in range(units * pixels):
                bias = p[w + units * into + j // pixels]
                for i in range(n):
                    s[y + j, i] = bias
            for pixel in range(pixels):
                xs, ys = parts_of(stage, lists, pixel)
                multiply(s, stage[X], xs, y, ys, n, p, w, into, np.int64(1), r.rows + 1)
        if stage[CHANNEL] >= 0:
            if r.norm >= GROUP:
                normalize_examples(r, s, n, stage)
            else:
                normalize(r, s, n, stage, c, step, running, left)
        for j in range(units * pixels if stage[H] != z else 0):
            scale, shift = scaling(r, p, c, stage, j)
            activate(stage[KIND], s, z + j, stage[H] + j, n, scale, shift)


@compiled
def backward(r, t, lists, p, g, s, n, c, step):
    """From the gradient by the prediction, in its rows, to that by the parameters, g."""
    d, e = t[-1, H], r.rows + 2
    g[:] = 0
    for index in range(len(t) - 1, -1, -1):
        stage = t[index]
        z, units, w, into = stage[Z], stage[UNITS], stage[LAYER], stage[INPUTS]
        pixels, further = stage[PIXELS], index > 0 and (w >= 0 or stage[KIND] == POOL)
        for k in range(stage[TAKEN] if further else 0):
            for i in range(n):
                s[e + k, i] = 0
        if stage[KIND] == POOL:
            pool_back(s, d, e, n, stage, lists)
        else:
            for j in range(units * pixels):
                scale, shift = scaling(r, p, c, stage, j)
                descend(stage[KIND], s, z + j, stage[H] + j, d + j, n, scale, shift)
            if stage[CHANNEL] >= 0:
                if r.norm >= GROUP:
                    normalize_examples_back(r, s, d, n, stage, p, g)
                else:
                    normalize_back(r, s, d, n, stage, c, step, p, g)
        for pixel in range(pixels if w >= 0 else 0):
            xs, ys = parts_of(stage, lists, pixel)
            correlate(s, d, ys, stage[X], xs, n, g, w)
            for j in range(units):
                total = s.dtype.type(0)
                for i in range(n):
                    total += s[d + ys[j], i]
                g[w + units * into + j] += total
            if further:
                multiply(s, d, ys, e, xs, n, p, w, np.int64(1), into, r.rows + 1)
        if further:
            d, e = e, 2 * r.rows + 4 + r.widest - e


@compiled
def lose(s, y, n, targets, labels, chosen):
    """Return the loss of the prediction, rows y, and put its gradient there."""
    real, outputs = s.dtype.type, targets.shape[0]
    loss, count, one = real(0), real(n * outputs), real(1)
    if not labels.size:
        for j in range(outputs):
            for i in range(n):
                apart = s[y + j, i] - targets[j, chosen[i]]
                loss += apart * apart
                s[y + j, i] = apart * (real(2) / count)
        return loss / count
    for i in range(n):
        own, top, total = labels[chosen[i]], s[y, i], real(0)
        for j in range(outputs):
            top = s[y + j, i] if s[y + j, i] > top else top
        loss += top - s[y + own, i]
        for j in range(outputs):
            s[y + j, i] = exponential_less_one(s[y + j, i] - top) + one
            total += s[y + j, i]
        loss += real(math.log(total))
        for j in range(outputs):
            s[y + j, i] = (s[y + j, i] / total - real(j == own)) / real(n)
    return loss / real(n)


@compiled
def update(r, p, g, first, second, rate, decay, steps):
    """Take one step of the optimizer, the `steps`-th, as `normexp.engine.step` does."""
    real = p.dtype.type
    beta1, beta2, one = real(r.beta1), real(r.beta2), real(1)
    if decay > 0:
        apart = r.optimizer == ADAMW
        kept, by = real(1 - rate * decay * apart), real(decay * (1 - apart))
        for i in range(p.size):
            g[i] += by * p[i]
            p[i] *= kept
    if r.optimizer == SGD:
        ahead, lr = real(r.nesterov), real(rate)
        for i in range(p.size):
            first[i] = beta1 * first[i] + g[i]
            p[i] -= lr * (first[i] + ahead * (g[i] + (beta1 - one) * first[i]))
        return
    root = math.sqrt(1 - r.beta2**steps)  # the corrections of both moments
    lr, eps = real(rate * root / (1 - r.beta1**steps)), real(r.optimizer_eps * root)
    for i in range(p.size):
        first[i] += (one - beta1) * (g[i] - first[i])
        second[i] = beta2 * second[i] + (one - beta2) * g[i] * g[i]
        p[i] -= lr * first[i] / (np.sqrt(second[i]) + eps)


@compiled
def room(r, n, parts, channels, p):
    """Return all rows of so many examples, and `normalize`'s c."""
    wide = (n + 15) // 16 * 16 + 16  # no power of two
    s = np.zeros((r.rows + 2 + 2 * r.widest, wide), p.dtype)
    c = np.ones((4, parts, channels), p.dtype)
    c[3] = 0
    return s, c


@entry
def train(r, t, lists, p, first, second, running, data, order, sizes, course, steps, losses, left):
    """Take some steps of a training, in place.

    Args:
        r: of the network.
        t: its stages.
        lists: of rows, of all stages.
        p: its parameters.
        first: moments of the optimizer, as `second`.
        running: running mean and variance, each [channels], if they take part in training.
        data: x of all examples, [features, examples], their targets, [outputs, examples], their
            labels, if they have, and the shift of x at every step, [features, steps], if it moves.
        order: numbers of the batches' examples, one batch after the other.
        sizes: of the batches.
        course: [steps, columns].
        steps: taken before.
        losses: to be filled, [steps].
        left: to be filled with mean and unbiased variance of the batches, each [updates, channels].
    """
    x, targets, labels, shifts = data
    most, g = sizes.max(), np.zeros_like(p)
    size = r.size if r.size and r.norm < GROUP else most
    s, c = room(r, most, (most + size - 1) // size, left[0].shape[1], p)
    start = updates = 0
    for step in range(sizes.size):
        n = sizes[step]
        chosen, now = order[start : start + n], course[step]
        for k in range(len(x)):
            shift = shifts[k, step] if shifts.size else p.dtype.type(0)
            for i in range(n):
                s[k, i] = x[k, chosen[i]] + shift
        own = left[0][updates:], left[1][updates:]
        forward(r, t, lists, p, s, n, c, now, running, own)
        losses[step] = lose(s, t[-1, H], n, targets, labels, chosen)
        backward(r, t, lists, p, g, s, n, c, now)
        steps += 1
        update(r, p, g, first, second, now[RATE], now[DECAY], steps)
        share = now[MOMENTUM]
        for stage in t:
            count = n * stage[PIXELS]
            factor = share if r.averaged_unbiased else share * (count - 1) / count
            for j in range(stage[UNITS] if running[0].size and stage[CHANNEL] >= 0 else 0):
                k = stage[CHANNEL] + j
                running[0][k] = running[0][k] * (1 - share) + own[0][0, k] * share
                running[1][k] = running[1][k] * (1 - share) + own[1][0, k] * factor
        start, updates = start + n, updates + (n + size - 1) // size


@entry
def predict(r, t, lists, p, x, known, own, prediction, left):
    """Fill in the predictions of some examples a model, taken as one batch.

    Args:
        r: of the network.
        t: its stages.
        lists: of rows, of all stages.
        p: its parameters, [models, numbers].
        x: examples, [models, features, examples].
        known: mean and variance of every channel, each [models, channels].
        own: share of the examples' own statistics in what normalises them, [models].
        prediction: to be filled, [models, outputs, examples].
        left: to be filled with the examples' mean and unbiased variance, each
            [models, parts, channels].
    """
    examples, step = x.shape[2], np.zeros(OWN + 1)
    most = examples if own.max() > 0 else min(examples, BLOCK)
    s, c = room(r, most, left[0].shape[1], left[0].shape[2], p)
    for model in range(len(p)):
        step[OWN] = own[model]
        running, found = (known[0][model], known[1][model]), (left[0][model], left[1][model])
        for start in range(0, examples, most):
            n = min(most, examples - start)
            for k in range(x.shape[1]):  # assigned whole, arrays would take Numba three seconds
                for i in range(n):
                    s[k, i] = x[model, k, start + i]
            forward(r, t, lists, p[model], s, n, c, step, running, found)
            for k in range(prediction.shape[1]):
                for i in range(n):
                    prediction[model, k, start + i] = s[t[-1, H] + k, i]
