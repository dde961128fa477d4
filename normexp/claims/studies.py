"""The studies behind the claims: overrides of packaged studies, shared by several claims each.

Runs are kept in the store under the packaged study's name, so that what a user has swept already
is not made again.
"""

from types import MappingProxyType

PLAIN = "log.pictures=false"

MANY = "seed=range(2000,2048)"
"""Of trainings that stack. Seeds that nobody had used when the criteria were last revised."""

FEWER = "seed=range(2000,2024)"
"""Of networks with convolutions, which train one by one."""

DIGITS_MLP = (
    "study=bn_regression",
    PLAIN,
    "data=digits",
    "model.depth=1",
    "model.width=64",
    "model.activation=relu",
    "model.weight_init=torch",
    "model.bias_init=null",
    "model.input_norm=false",
)
"""64 pixels, 64 hidden units, 10 digits."""

SMALL_LENET = (
    "study=norm_batch_size",
    "data.train_size=400",
    "train.epochs=4",
    "norm.momentum=0.1",
    FEWER,
)
"""S4's study in a quarter of the images."""

STUDIES = MappingProxyType(
    {
        "convention": ("study=momentum_convention", MANY),
        "momenta": (
            "study=bn_regression",
            PLAIN,
            "norm=none,batch",
            "norm.momentum=0.01,0.1,0.5,0.9,0.99",
            MANY,
        ),
        "grid": (
            "study=bn_regression",
            PLAIN,
            "norm=batch",
            "train.batch_size=16,64,256",
            "optim.lr=0.003,0.03",
            "norm.momentum=0.01,0.03,0.1,0.3,0.5,0.9",
            MANY,
        ),
        "inputs": (
            "study=bn_regression",
            PLAIN,
            "norm=none,batch",
            "model.input_norm=true,false",
            "norm.momentum=0.5",
            MANY,
        ),
        "biases": (
            "study=bn_regression",
            PLAIN,
            "norm=none",
            "model.bias_init=-0.2,0",
            "~norm.momentum",
            MANY,
        ),
        "weights": (
            "study=bn_regression",
            PLAIN,
            "norm=none,batch",
            "model.weight_std=0.01,0.03,0.1,0.3,1",
            "norm.momentum=0.5",
            MANY,
        ),
        "rates": (
            "study=bn_regression",
            PLAIN,
            "norm=none,batch",
            "optim.lr=0.01,0.03,0.1,0.3,1,3,10",
            "norm.momentum=0.5",
            MANY,
        ),
        "shallow rates": (
            "study=bn_regression",
            PLAIN,
            "norm=none,batch",
            "model.depth=2",
            "model.weight_init=torch",
            "optim.lr=0.01,0.03,0.1,0.3,1,3,10",
            "norm.momentum=0.5",
            MANY,
        ),
        "digits rates": (
            *DIGITS_MLP,
            "norm=none,batch",
            "norm.momentum=0.1",
            "optim=sgd",
            "optim.lr=0.1,0.3,1,3,10,30",
            "train.epochs=5",
            MANY,
        ),
        "few points": (
            "study=bn_regression",
            PLAIN,
            "norm=none,batch",
            "norm.momentum=0.5",
            "data=drift",
            "data.rate=0",
            "data.train_size=50,200",
            "model.depth=2",
            "model.width=40",
            "model.weight_init=torch",
            "model.input_norm=false",
            "train.batch_size=10",
            "train.epochs=40",
            "optim.lr=0.01",
            MANY,
        ),
        "few digits": (
            *DIGITS_MLP,
            "norm=none,batch",
            "norm.momentum=0.1",
            "data.train_size=100,300",
            "model.width=16,64",
            "train.batch_size=10",
            "train.epochs=40",
            "optim.lr=0.003",
            MANY,
        ),
        "steps": ("study=moving_average", MANY),
        "rest and drift": (
            "study=moving_average",
            "train.batch_size=16",
            "train.epochs=16",
            "optim.lr=0.000001,0.001,0.01",
            "norm.momentum=0.01,0.3",
            MANY,
        ),
        "starts": (
            "study=moving_average",
            "train.batch_size=64",
            "train.epochs=1,16",
            "norm.momentum=0.01,0.3",
            "norm.initial_mean=0,10",
            MANY,
        ),
        "digits norms": (*SMALL_LENET, "norm=batch,layer,group", "train.batch_size=2,8,64"),
        "placements": (
            *SMALL_LENET,
            "norm=batch",
            "norm.placement=before,after",
            "train.batch_size=8,64",
        ),
    }
)
"""By name: what one would type after `normexp sweep`."""
