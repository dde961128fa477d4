"""JAX: a training as a `scan` over its steps, `vmap` over networks, `jit` over all.

Every momentum is a network of its own. What is done with it is in `jax_runs.py`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from peers.work import Work

Array = Any
Tree = dict[str, Any]
Norm = Callable[[str, Array], Array]


def mlp(work: Work, p: Tree, x: Array, norm: Norm, axis: int) -> Array:
    """Predictions [batch, 1]; inside, features are this axis."""
    import jax.numpy as jnp

    x = norm("input", x if axis else x.T)
    for number in range(1, work.depth + 1):
        x = jnp.tanh(norm(f"hidden{number}", _dense(p, f"hidden{number}", x, axis)))
    y = _dense(p, "output", x, axis)
    return y if axis else y.T


def lenet(_: Work, p: Tree, x: Array, norm: Norm, axis: int) -> Array:
    """Predictions [batch, 10]."""
    import jax
    from jax import lax

    for name in ("conv1", "conv2"):
        x = lax.conv_general_dilated(x, p[f"{name}.weight"], (1, 1), [(1, 1), (1, 1)])
        x = jax.nn.relu(norm(name, x + p[f"{name}.bias"][:, None, None]))
        x = lax.reduce_window(x, -float("inf"), lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = x.reshape(len(x), -1)
    for name in ("linear1", "linear2"):
        x = jax.nn.relu(norm(name, _dense(p, name, x, axis)))
    return _dense(p, "output", x, axis)


def _dense(p: Tree, name: str, x: Array, axis: int) -> Array:
    if not axis:
        return p[f"{name}.weight"] @ x + p[f"{name}.bias"][:, None]
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _scaled(p: Tree, site: str, x: Array, statistics: tuple[Array, Array], axis: int) -> Array:
    mean, var = statistics
    wide = (-1, *[1] * (x.ndim - 1 - axis))
    scale = p[f"{site}.norm.weight"] / (var + 1e-5) ** 0.5
    return (x - mean.reshape(wide)) * scale.reshape(wide) + p[f"{site}.norm.bias"].reshape(wide)


def training(  # noqa: C901
    work: Work, sites: dict[str, int], axis: int
) -> Callable[..., Any]:
    """One network's training: weights, data and momentum to losses and running statistics.

    Args:
        work: what to train.
        sites: norms and their channels.
        axis: of features inside an MLP; 1 as Flax has them, 0 for batches along vectors.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    forward = partial({"mlp": mlp, "lenet": lenet}[work.network], work)
    edges = [sum(list(sites.values())[: k + 1]) for k in range(len(sites) - 1)]

    def loss_of(prediction: Array, y: Array) -> Array:
        if work.network == "mlp":
            return jnp.mean((prediction - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(prediction), y[:, None], 1))

    def by_itself(p: Tree, x: Array, y: Array) -> tuple[Array, Any]:
        left: dict[str, tuple[Array, Array]] = {}

        def norm(site: str, x: Array) -> Array:
            axes = tuple(each for each in range(x.ndim) if each != axis)
            mean, var, n = jnp.mean(x, axes), jnp.var(x, axes), x.size // x.shape[axis]
            left[site] = (mean, var * (n / (n - 1)))
            return _scaled(p, site, x, (mean, var), axis)

        loss = loss_of(forward(p, x, norm, axis), y)
        return loss, [jnp.concatenate([left[site][k] for site in sites]) for k in (0, 1)]

    def tested(p: Tree, running: list[Array], x: Array, y: Array) -> Array:
        if not work.logs:
            return by_itself(p, x, y)[0]
        parts = [dict(zip(sites, jnp.split(part, edges), strict=True)) for part in running]

        def norm(site: str, x: Array) -> Array:
            return _scaled(p, site, x, (parts[0][site], parts[1][site]), axis)

        return loss_of(forward(p, x, norm, axis), y)

    def train(p: Tree, data: list[Array], momentum: Array) -> Any:  # noqa: ANN401
        x, y, test_x, test_y, orders = data

        def step(state: Any, chosen: Array) -> tuple[Any, Any]:  # noqa: ANN401
            p, m, v, t, running = state
            (loss, left), g = jax.value_and_grad(by_itself, has_aux=True)(p, x[chosen], y[chosen])
            running = [a + momentum * (b - a) for a, b in zip(running, left, strict=True)]
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            t, rate, root = t + 1, work.lr / (1 - 0.9 ** (t + 1)), (1 - 0.999 ** (t + 1)) ** 0.5
            p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
            return (p, m, v, t, running), (loss, running if work.logs else [])

        def epoch(state: Any, order: Array) -> tuple[Any, Any]:  # noqa: ANN401
            full = work.train_size // work.batch_size * work.batch_size
            state, left = lax.scan(step, state, order[:full].reshape(-1, work.batch_size))
            if full < work.train_size:  # the last batch, smaller than the others
                state, last = step(state, order[full:])
                left = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), left, last)
            point = tested(state[0], state[4], test_x, test_y)
            return state, (*left, point)

        zeros, channels = jax.tree.map(jnp.zeros_like, p), sum(sites.values())
        running = [jnp.zeros(channels), jnp.ones(channels)]
        first = tested(p, running, test_x, test_y)
        state = (p, zeros, zeros, 0.0, running)
        _, (losses, rows, points) = lax.scan(epoch, state, orders)
        return losses[-1], jnp.concatenate([first[None], points]), running, rows

    return train
