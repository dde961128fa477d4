"""Training and evaluation of one multi-layer perceptron, compiled: see `normexp.nets.kernels`.

Parameters are one vector, in the order of `normexp.nets.models.parameter_shapes`.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from normexp.nets.compile import compiled, entry
from normexp.nets.kernels import (
    ADAMW,
    DECAY,
    GROUP,
    IDENTITY,
    MOMENTUM,
    RATE,
    RENORM,
    RMS,
    SGD,
    Array,
    Pair,
    Recipe,
    activate,
    correlate,
    descend,
    exponential_less_one,
    multiply,
)
from normexp.nets.normalize import (
    normalize,
    normalize_back,
    normalize_examples,
    normalize_examples_back,
)


class Rows(NamedTuple):
    """The first rows of a pass's parts; of what a layer has, those of the first layer."""

    x: int
    entered: int  # the input normalised, scaled and shifted
    taken: int  # by the activation
    given: int  # by the activation
    z: int  # in units of the norm, before scale and shift
    h: int  # what the next layer takes
    scales: int  # of norms of examples
    prediction: int
    slopes: int  # twice
    spare: int  # twice
    end: int


@compiled
def rows_of(r: Recipe, kept: int) -> Rows:
    """Return the rows of a pass that keeps so many layers; `taken` and `given` may be z and h."""
    entered = r.features * r.entrance
    taken = r.features + entered
    given = taken + kept * r.width * r.after
    z = given + kept * r.width * r.after
    h = z + kept * r.width
    scales = h + max(kept, 2) * r.width
    prediction = scales + kept * r.size
    slopes = prediction + r.outputs
    spare = slopes + 2 * max(r.width, r.features)
    return Rows(0, entered, taken, given, z, h, scales, prediction, slopes, spare, spare + 2)


@compiled
def first_affine(r: Recipe) -> int:
    """Return where the norms' parameters begin; −1 if they have none."""
    linear = r.width * (r.features + 1) + (r.depth - 1) * r.width * (r.width + 1)
    return linear + r.outputs * (r.width + 1) if r.affine else -1


@compiled
def forward(
    r: Recipe,
    p: Array,
    s: Array,
    a: Rows,
    kept: int,
    n: int,
    c: Array,
    step: Array,
    running: Pair,
    left: Pair,
) -> None:
    """From rows x to the prediction; see `normalize`. Layer −1 is the entrance."""
    real, each = s.dtype.type, 1 if r.norm == RMS else 2
    start, at, affine, below = 0, 0, first_affine(r), a.x
    for layer in range(-r.entrance, r.depth + 1):
        into = r.width if layer > 0 else r.features
        here, last = layer % kept, layer == r.depth
        out = r.outputs if last else r.width
        z, h = a.z + here * r.width, a.h + layer % max(kept, 2) * r.width
        taken = given = z
        if last:
            taken = a.prediction
        elif layer < 0:
            taken, given, z, h, out = a.x, a.x, a.x, a.entered, r.features
        elif r.after:
            taken, given = a.taken + here * r.width, a.given + here * r.width
        if layer >= 0:
            for j in range(out):
                bias = p[start + out * into + j]
                for i in range(n):
                    s[taken + j, i] = bias
            multiply(s, below, taken, n, p, start, into, into // into, out, into)
            start += out * (into + 1)
        if last:
            return
        if r.after and layer >= 0:
            for j in range(out):
                activate(r.activation, s, taken + j, given + j, n, real(1), real(0))
        if r.norm >= GROUP:
            normalize_examples(r, s, given, z, n, out, a.scales + here * r.size, a.spare)
        elif r.norm:
            normalize(r, s, given, z, n, out, c, at, step, running, left)
        kind = IDENTITY if r.after or layer < 0 else r.activation
        for j in range(out):
            scale, shift = scaling(r, p, c, affine, at, out, j)
            activate(kind, s, z + j, h + j, n, scale, shift)
        below, at, affine = h, at + out, affine + r.affine * each * out


@compiled
def scaling(
    r: Recipe, p: Array, c: Array, affine: int, at: int, channels: int, j: int
) -> tuple[float, float]:
    """Return scale and shift of a channel in units of its norm."""
    scale, shift = p.dtype.type(1), p.dtype.type(0)
    if affine >= 0:
        scale = p[affine + j]
        if r.norm != RMS:
            shift = p[affine + channels + j]
    if r.norm == RENORM:
        return scale * c[2, 0, at + j], shift + scale * c[3, 0, at + j]
    return scale, shift


@compiled
def backward(
    r: Recipe, p: Array, g: Array, s: Array, a: Rows, n: int, c: Array, step: Array
) -> None:
    """From the gradient by the prediction, in its rows, to that by the parameters, g."""
    real, each = s.dtype.type, 1 if r.norm == RMS else 2
    at = r.entrance * r.features + r.depth * r.width
    start = r.width * (r.features + 1) + (r.depth - 1) * r.width * (r.width + 1)
    start, affine = start + r.outputs * (r.width + 1), first_affine(r) + r.affine * each * at
    entrance, room = r.entrance * r.affine, max(r.width, r.features)
    d, e, out = a.prediction, a.slopes, r.outputs
    for layer in range(r.depth, -1 - entrance, -1):
        into = r.width if layer > 0 else r.features
        z, h = a.z + layer * r.width, a.h + layer * r.width
        if layer < r.depth:
            out = r.width if layer >= 0 else r.features
            at, affine = at - out, affine - r.affine * each * out
            if layer < 0:
                z = a.x
            elif not r.after:
                for j in range(out):
                    scale, shift = scaling(r, p, c, affine, at, out, j)
                    descend(r.activation, s, z + j, h + j, d + j, n, scale, shift)
            if r.norm >= GROUP:
                scales = a.scales + layer * r.size
                normalize_examples_back(r, s, d, z, n, out, scales, a.spare, p, g, affine)
            elif r.norm:
                normalize_back(r, s, d, z, n, out, c, at, step, p, g, affine)
            if layer >= 0 and r.after:
                x, y = a.taken + layer * out, a.given + layer * out
                for j in range(out):
                    descend(r.activation, s, x + j, y + j, d + j, n, real(1), real(0))
        if layer >= 0:
            start -= out * (into + 1)
            below = h - r.width if layer else a.entered
            correlate(s, d, below, n, g, start, out, into)
            if layer or entrance:
                for k in range(into):
                    for i in range(n):
                        s[e + k, i] = 0
                multiply(s, d, e, n, p, start, into // into, into, into, out)
            d, e = e, 2 * a.slopes + room - e


@compiled
def lose(
    s: Array, y: int, outputs: int, n: int, targets: Array, labels: Array, chosen: Array
) -> Any:  # noqa: ANN401  float32 or float64
    """Return the loss of the prediction, rows y, and put its gradient there."""
    real = s.dtype.type
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
def update(
    r: Recipe,
    p: Array,
    g: Array,
    first: Array,
    second: Array,
    rate: float,
    decay: float,
    steps: int,
) -> None:
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
def room(r: Recipe, a: Rows, n: int, like: Array) -> tuple[Array, Array, int]:
    """Return all rows of so many examples, `normalize`'s c, and how many are normalised at once."""
    size = r.size if r.size and r.norm < GROUP else n
    s = np.empty((a.end, (n + 15) // 16 * 16 + 16), like.dtype)  # no power of two
    c = np.ones((4, (n + size - 1) // size, r.features + r.depth * r.width), like.dtype)
    c[3] = 0
    return s, c, size


@entry
def train(
    r: Recipe,
    p: Array,
    first: Array,
    second: Array,
    running: Pair,
    x: Array,
    targets: Array,
    labels: Array,
    shifts: Array,
    order: Array,
    sizes: Array,
    course: Array,
    steps: int,
    losses: Array,
    left: Pair,
) -> None:
    """Take some steps of a training, in place.

    Args:
        r: of the network.
        p: parameters.
        first: moments of the optimizer, as `second`.
        running: running mean and variance, each [channels], if they take part in training.
        x: training examples, [features, examples].
        targets: of all examples, [outputs, examples], or none.
        labels: of all examples, or none.
        shifts: of x at every step, [features, steps], or none.
        order: numbers of the batches' examples, one batch after the other.
        sizes: of the batches.
        course: [steps, columns].
        steps: taken before.
        losses: to be filled, [steps].
        left: to be filled with mean and unbiased variance of the batches, each [updates, channels].
    """
    a = rows_of(r, r.depth)
    s, c, size = room(r, a, sizes.max(), p)
    g = np.zeros_like(p)
    start = updates = 0
    for step in range(sizes.size):
        n = sizes[step]
        chosen = order[start : start + n]
        for k in range(r.features):
            shift = shifts[k, step] if shifts.size else p.dtype.type(0)
            for i in range(n):
                s[a.x + k, i] = x[k, chosen[i]] + shift
        parts = (n + size - 1) // size
        now = left[0][updates : updates + parts], left[1][updates : updates + parts]
        forward(r, p, s, a, r.depth, n, c, course[step], running, now)
        losses[step] = lose(s, a.prediction, r.outputs, n, targets, labels, chosen)
        backward(r, p, g, s, a, n, c, course[step])
        steps += 1
        update(r, p, g, first, second, course[step, RATE], course[step, DECAY], steps)
        share = course[step, MOMENTUM]
        factor = share if r.averaged_unbiased else share * (n - 1) / n
        for k in range(running[0].size):
            running[0][k] = running[0][k] * (1 - share) + now[0][0, k] * share
            running[1][k] = running[1][k] * (1 - share) + now[1][0, k] * factor
        start, updates = start + n, updates + parts


@entry
def predict(
    r: Recipe,
    p: Array,
    x: Array,
    known: Pair,
    weight: float,
    prediction: Array,
    left: Pair,
) -> None:
    """Fill in the predictions of some examples, taken as one batch.

    Args:
        r: of the network.
        p: parameters.
        x: examples, [features, examples].
        known: mean and variance of every channel, each [channels].
        weight: share of the examples' own statistics in what normalises them.
        prediction: to be filled, [outputs, examples].
        left: to be filled with the examples' mean and unbiased variance, each [parts, channels].
    """
    a, n = rows_of(r, 1), x.shape[1]
    s, c, _ = room(r, a, n, p)
    step = np.array([0.0, 0.0, weight, 0.0, 1.0, 0.0])
    for k in range(r.features):
        for i in range(n):
            s[a.x + k, i] = x[k, i]
    forward(r, p, s, a, 1, n, c, step, known, left)
    for j in range(r.outputs):
        for i in range(n):
            prediction[j, i] = s[a.prediction + j, i]
