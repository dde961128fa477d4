"""Batch norm of other frameworks, in a process of its own: `DRAWS ANSWER LR LAYER...`.

Keras and JAX start threads and set warnings that would disturb the other tests.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from reference import Pixels
from replay import CASES, Tensors, Wrapped, replay, under
from safetensors.torch import load_file, save_file
from torch import nn

Statistics = tuple[torch.Tensor, torch.Tensor]


def of_torch(channels: int, pixels: Pixels) -> nn.Module:
    """`torch.nn.BatchNorm1d` and `2d` at their defaults."""
    norm = (nn.BatchNorm2d if pixels else nn.BatchNorm1d)(channels, affine=False)

    def normalize(x: torch.Tensor, training: bool) -> torch.Tensor:  # noqa: FBT001
        y: torch.Tensor = norm.train(training)(x)
        return y

    def statistics() -> Statistics:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return norm.running_mean, norm.running_var

    return Wrapped(channels, normalize, statistics)


def of_keras(channels: int, _pixels: Pixels) -> nn.Module:
    """`keras.layers.BatchNormalization` at its defaults, on PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    assert keras.backend.backend() == "torch"
    norm = keras.layers.BatchNormalization(axis=1, center=False, scale=False)

    def normalize(x: torch.Tensor, training: bool) -> torch.Tensor:  # noqa: FBT001
        y: torch.Tensor = norm(x, training=training)
        return y

    def statistics() -> Statistics:
        return norm.moving_mean.value, norm.moving_variance.value

    return Wrapped(channels, normalize, statistics)


def of_linen(channels: int, _pixels: Pixels) -> nn.Module:
    """`flax.linen.BatchNorm` at its defaults."""
    import jax
    from flax import linen

    norm = linen.BatchNorm(axis=1, use_bias=False, use_scale=False)
    state: dict[str, Any] = {}

    def normalize(x: torch.Tensor, training: bool) -> torch.Tensor:  # noqa: FBT001
        values = x.detach().numpy()
        if not state:
            state.update(norm.init(jax.random.key(0), values, use_running_average=False))
        y, changed = norm.apply(
            state, values, use_running_average=not training, mutable=["batch_stats"]
        )
        state.update(changed)
        return _tensor(y)

    def statistics() -> Statistics:
        return _tensor(state["batch_stats"]["mean"]), _tensor(state["batch_stats"]["var"])

    return Wrapped(channels, normalize, statistics)


def of_nnx(channels: int, _pixels: Pixels) -> nn.Module:
    """`flax.nnx.BatchNorm` at its defaults."""
    from flax import nnx

    norm = nnx.BatchNorm(channels, axis=1, use_bias=False, use_scale=False, rngs=nnx.Rngs(0))

    def normalize(x: torch.Tensor, training: bool) -> torch.Tensor:  # noqa: FBT001
        return _tensor(norm(x.detach().numpy(), use_running_average=not training))

    def statistics() -> Statistics:
        return _tensor(norm.mean[...]), _tensor(norm.var[...])

    return Wrapped(channels, normalize, statistics)


def _tensor(values: Any) -> torch.Tensor:  # noqa: ANN401
    """A JAX array as PyTorch's."""
    import numpy as np

    return torch.from_numpy(np.array(values))


NORMS: dict[str, Callable[[int, Pixels], nn.Module]] = {
    "torch": of_torch,
    "keras": of_keras,
    "linen": of_linen,
    "nnx": of_nnx,
}


def answer(layer: str, drawn: Tensors, lr: float | None) -> Tensors:
    """All cases replayed with a layer, `CASE/NAME` as the draws are."""
    found: Tensors = {}
    for case in CASES:
        done = replay(case, under(case, drawn), NORMS[layer], lr)
        found |= {f"{case}/{name}": values.contiguous() for name, values in done.items()}
    return found


def main(draws: str, answers: str, lr: str, *layers: str) -> None:
    """Replay the cases in a file of draws with some layers, and write what comes of them."""
    drawn = load_file(draws)
    rate = None if lr == "none" else float(lr)
    found = {layer: answer(layer, drawn, rate) for layer in layers}
    save_file({f"{a}/{b}": v for a, part in found.items() for b, v in part.items()}, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
