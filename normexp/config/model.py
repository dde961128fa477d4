"""Models as configured."""

from dataclasses import dataclass
from typing import Any, Literal

from normexp.config.field import Role, declare

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role

Activation = Literal["tanh", "relu", "gelu", "silu", "sigmoid"]
MOST_LAYERS = 10_000
"""As deep as anybody has trained (Xiao et al. 2018); a plan goes through them one by one."""

WeightInit = Literal["normal", "torch", "he"]


def _weight_init(default: WeightInit, **rule: Any) -> Any:  # noqa: ANN401
    return declare(
        STRUCTURAL,
        default,
        "initial weights: N(0, weight_std), PyTorch's U(±1/√fan_in), or N(0, √(2/fan_in)) (He)",
        short="",
        **rule,
    )


def _weight_std() -> Any:  # noqa: ANN401
    return declare(
        STACKABLE, 0.1, "std of the initial weights where they are normal", short="std", minimum=0
    )


def _bias_init(default: float | None) -> Any:  # noqa: ANN401
    doc = "initial value of every bias; null: PyTorch's U(±1/√fan_in)"
    return declare(STACKABLE, default, doc, short="bias")


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Hidden layers of one width, each with norm and activation, and a linear output layer."""

    kind: Literal["mlp"] = declare(STRUCTURAL, "mlp", "which model")
    depth: int = declare(STRUCTURAL, 8, "hidden layers", short="d", minimum=1, maximum=MOST_LAYERS)
    width: int = declare(STRUCTURAL, 10, "units of a hidden layer", short="w", minimum=1)
    activation: Activation = declare(STRUCTURAL, "tanh", "after every hidden layer", short="")
    weight_init: WeightInit = _weight_init("normal", neutral="normal")
    weight_std: float = _weight_std()
    bias_init: float | None = _bias_init(-0.2)
    input_norm: bool | None = declare(
        STRUCTURAL,
        None,
        "normalise the input too. null: if the norm is over the batch; "
        "true with another norm: standardised by the training set's mean and std",
        short="in-",
    )


@dataclass(frozen=True, kw_only=True)
class Lenet:
    """LeNet-5 with a norm after every hidden layer (S3): two convolutions, two linear layers."""

    kind: Literal["lenet"] = declare(STRUCTURAL, "lenet", "which model")
    channels1: int = declare(STRUCTURAL, 6, "of the first convolution", short="c", minimum=1)
    channels2: int = declare(STRUCTURAL, 16, "of the second convolution", short="c2-", minimum=1)
    units1: int = declare(STRUCTURAL, 120, "of the first linear layer", short="u", minimum=1)
    units2: int = declare(STRUCTURAL, 84, "of the second linear layer", short="u2-", minimum=1)
    kernel: int | None = declare(
        STRUCTURAL,
        None,
        "side of both convolutions; null: 5, or 3 for images below 16 pixels",
        short="k",
        minimum=1,
    )
    padding: int | None = declare(
        STRUCTURAL,
        None,
        "pixels around both convolutions' input; null: 0, or 1 for images below 16 pixels",
        short="pad",
        minimum=0,
    )
    activation: Activation = declare(STRUCTURAL, "relu", "after every hidden layer", short="")
    weight_init: WeightInit = _weight_init("torch")
    weight_std: float = _weight_std()
    bias_init: float | None = _bias_init(None)
    linear_norm: bool | None = declare(
        STRUCTURAL,
        None,
        "normalise the linear layers too; null: unless the norm is instance",
        short="fc-",
    )


@dataclass(frozen=True, kw_only=True)
class Resnet:
    """ResNet for small images (He et al. 2015, section 4.2), shortcuts without parameters."""

    kind: Literal["resnet"] = declare(STRUCTURAL, "resnet", "which model")
    depth: int = declare(
        STRUCTURAL,
        20,
        "layers: 20, 26, 32, ... (6n + 2)",
        short="d",
        minimum=8,
        maximum=MOST_LAYERS,
    )
    width: int = declare(STRUCTURAL, 16, "channels of the first stage", short="w", minimum=1)
    activation: Activation = declare(STRUCTURAL, "relu", "after every hidden layer", short="")
    weight_init: WeightInit = _weight_init("he")
    weight_std: float = _weight_std()
    bias_init: float | None = _bias_init(0.0)


Model = Mlp | Lenet | Resnet
