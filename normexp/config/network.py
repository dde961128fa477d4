"""Models and optimizers as configured."""

from dataclasses import dataclass
from typing import Literal

from normexp.config.field import Role, Rule, declare, use

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role

Activation = Literal["tanh", "relu", "gelu", "silu", "sigmoid"]
WeightInit = Literal["normal", "torch", "he"]

MOST_LAYERS = 10_000
"""As deep as anybody has trained (Xiao et al. 2018); a plan goes through them one by one."""

WEIGHT_INIT = Rule(STRUCTURAL)
WEIGHT_STD = Rule(STACKABLE, short="std", minimum=0)
BIAS_INIT = Rule(STACKABLE, short="bias")


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Hidden layers of one width, each with norm and activation, and a linear output layer."""

    kind: Literal["mlp"] = declare(STRUCTURAL, "mlp")
    depth: int = declare(STRUCTURAL, 8, short="d", minimum=1, maximum=MOST_LAYERS, unit="layers")
    width: int = declare(STRUCTURAL, 10, short="w", minimum=1)
    activation: Activation = declare(STRUCTURAL, "tanh")
    weight_init: WeightInit = use(WEIGHT_INIT, "normal", neutral="normal")
    weight_std: float = use(WEIGHT_STD, 0.1)
    bias_init: float | None = use(BIAS_INIT, -0.2)
    input_norm: bool | None = declare(STRUCTURAL, None, short="in-")


@dataclass(frozen=True, kw_only=True)
class Lenet:
    """LeNet-5 with a norm after every hidden layer (S3): two convolutions, two linear layers."""

    kind: Literal["lenet"] = declare(STRUCTURAL, "lenet")
    channels1: int = declare(STRUCTURAL, 6, short="c", minimum=1)
    channels2: int = declare(STRUCTURAL, 16, short="c2-", minimum=1)
    units1: int = declare(STRUCTURAL, 120, short="u", minimum=1)
    units2: int = declare(STRUCTURAL, 84, short="u2-", minimum=1)
    kernel: int | None = declare(STRUCTURAL, None, short="k", minimum=1, unit="pixels")
    padding: int | None = declare(STRUCTURAL, None, short="pad", minimum=0, unit="pixels")
    activation: Activation = declare(STRUCTURAL, "relu")
    weight_init: WeightInit = use(WEIGHT_INIT, "torch")
    weight_std: float = use(WEIGHT_STD, 0.1)
    bias_init: float | None = use(BIAS_INIT, None)
    linear_norm: bool | None = declare(STRUCTURAL, None, short="fc-")


@dataclass(frozen=True, kw_only=True)
class Resnet:
    """ResNet for small images (He et al. 2015, section 4.2), shortcuts without parameters."""

    kind: Literal["resnet"] = declare(STRUCTURAL, "resnet")
    depth: int = declare(STRUCTURAL, 20, short="d", minimum=8, maximum=MOST_LAYERS, unit="layers")
    width: int = declare(STRUCTURAL, 16, short="w", minimum=1)
    activation: Activation = declare(STRUCTURAL, "relu")
    weight_init: WeightInit = use(WEIGHT_INIT, "he")
    weight_std: float = use(WEIGHT_STD, 0.1)
    bias_init: float | None = use(BIAS_INIT, 0.0)


@dataclass(frozen=True, kw_only=True)
class Own:
    """A module of the user's, from a function of a file, or as recorded in the user's own loop.

    `source` is the file and `digest` of its content; a loop has neither. `name` is the function, or
    the module's class; `layers` are its batch norms with running statistics, `channels` those of
    all of them.
    """

    kind: Literal["own"] = declare(STRUCTURAL, "own")
    source: str | None = declare(RUNTIME, None)
    arguments: str | None = declare(STRUCTURAL, None, short="with-", neutral=None)
    digest: str | None = declare(STRUCTURAL, None, neutral=None)
    name: str = declare(STRUCTURAL, "Module", short="net-")
    layers: int = declare(STRUCTURAL, 1, short="layers", minimum=0)
    channels: int = declare(STRUCTURAL, 1, short="channels", minimum=0)


Model = Mlp | Lenet | Resnet
"""Those that normexp builds."""

LR = Rule(STACKABLE, short="lr", minimum=0, exclusive=True)
BETA1 = Rule(STRUCTURAL, short="beta1-", minimum=0, maximum=0.99999)
BETA2 = Rule(STRUCTURAL, short="beta2-", minimum=0, maximum=0.999999)
ADAM_EPS = Rule(STRUCTURAL, short="adam-eps", minimum=0)
WEIGHT_DECAY = Rule(STACKABLE, short="wd", minimum=0)


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma & Ba 2015) as in `torch.optim.Adam`."""

    kind: Literal["adam"] = declare(STRUCTURAL, "adam")
    lr: float = use(LR, 0.03)
    beta1: float = use(BETA1, 0.9)
    beta2: float = use(BETA2, 0.999)
    eps: float = use(ADAM_EPS, 1e-8)
    weight_decay: float = use(WEIGHT_DECAY, 0.0, neutral=0)


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) as in `torch.optim.AdamW`."""

    kind: Literal["adamw"] = declare(STRUCTURAL, "adamw")
    lr: float = use(LR, 0.001)
    beta1: float = use(BETA1, 0.9)
    beta2: float = use(BETA2, 0.999)
    eps: float = use(ADAM_EPS, 1e-8)
    weight_decay: float = use(WEIGHT_DECAY, 0.01)


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent as in `torch.optim.SGD`."""

    kind: Literal["sgd"] = declare(STRUCTURAL, "sgd")
    lr: float = use(LR, 0.1)
    momentum: float = declare(STRUCTURAL, 0.0, short="mu", minimum=0, maximum=0.99999)
    nesterov: bool = declare(STRUCTURAL, short="nesterov-", default=False)
    weight_decay: float = use(WEIGHT_DECAY, 0.0)


@dataclass(frozen=True, kw_only=True)
class OwnOptimizer:
    """An optimizer of a recorded loop.

    `name` is its class; the others are of its first group of parameters as recording began.
    """

    kind: Literal["own"] = declare(STRUCTURAL, "own")
    name: str = declare(STRUCTURAL, "Optimizer", short="by-")
    lr: float = use(LR, 0.0, exclusive=False)
    weight_decay: float = use(WEIGHT_DECAY, 0.0)


Optimizer = Adam | AdamW | Sgd | OwnOptimizer
