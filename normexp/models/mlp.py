"""The multi-layer perceptron of S1, as parameter shapes and a forward pass.

A norm site is a place that the norm may normalise, by name: `input`, `hidden1`, ... The forward
pass calls `normalize(site, x)` at each and knows nothing of what happens there.
"""

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from normexp.config.schema import Mlp

Normalize = Callable[[str, torch.Tensor], torch.Tensor]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
}


def norm_sites(config: Mlp, inputs: int) -> dict[str, int]:
    """The places to normalise and their features, in the order of the forward pass."""
    entrance = {"input": inputs} if config.input_norm else {}
    return entrance | {f"hidden{layer}": config.width for layer in range(1, config.depth + 1)}


def linear_shapes(config: Mlp, inputs: int, outputs: int) -> dict[str, tuple[int, int]]:
    """The linear layers and their weights' shapes [out, in], in the order of the forward pass."""
    hidden = {
        f"hidden{layer}": (config.width, inputs if layer == 1 else config.width)
        for layer in range(1, config.depth + 1)
    }
    return hidden | {"output": (outputs, config.width)}


def forward(
    config: Mlp, parameters: Mapping[str, torch.Tensor], x: torch.Tensor, normalize: Normalize
) -> torch.Tensor:
    """Predictions [*, outputs, batch] for x [*, features, batch]."""
    activation = ACTIVATIONS[config.activation]
    x = normalize("input", x)
    for layer in range(1, config.depth + 1):
        site = f"hidden{layer}"
        x = activation(normalize(site, _linear(parameters, site, x)))
    return _linear(parameters, "output", x)


def _linear(parameters: Mapping[str, torch.Tensor], layer: str, x: torch.Tensor) -> torch.Tensor:
    y = parameters[f"{layer}.weight"] @ x
    return y.add_(parameters[f"{layer}.bias"].unsqueeze(-1))  # in place: one array less
