"""The studies behind the claims: overrides of packaged studies, shared by several claims each.

Runs are kept in the store under the packaged study's name, so that what a user has swept already
is not made again.
"""

MANY = "seed=range(3000,3048)"
"""Of trainings that stack. Seeds that nobody had used when the criteria were last revised."""

FEWER = "seed=range(3000,3024)"
"""Of networks with convolutions, which train one by one."""

PLAIN = "study=bn_regression"
BOTH = f"{PLAIN} norm=none,batch norm.momentum=0.5 {MANY}"
RATES = f"{BOTH} optim.lr=0.01,0.03,0.1,0.3,1,3,10"

DIGITS = (
    f"{PLAIN} data=digits model.depth=1 model.width=64 model.activation=relu "
    "model.weight_init=torch model.bias_init=null model.input_norm=false norm=none,batch "
    f"norm.momentum=0.1 {MANY}"
)
"""64 pixels, 64 hidden units, 10 digits."""

LENET = f"study=norm_batch_size data.train_size=400 norm.momentum=0.1 {FEWER}"
"""S4's study in a quarter of the images."""

TYPED = {
    "convention": f"study=momentum_convention {MANY}",
    "momenta": f"{PLAIN} norm=none,batch norm.momentum=0.01,0.1,0.5,0.9,0.99 {MANY}",
    "grid": f"{PLAIN} norm=batch train.batch_size=16,64,256 optim.lr=0.003,0.03 "
    f"norm.momentum=0.01,0.03,0.1,0.3,0.5,0.9 {MANY}",
    "inputs": f"{BOTH} model.input_norm=true,false",
    "weights": f"{BOTH} model.weight_std=0.01,0.03,0.1,0.3,1",
    "rates": RATES,
    "shallow rates": f"{RATES} model.depth=2 model.weight_init=torch",
    "digits rates": f"{DIGITS} optim=sgd optim.lr=0.1,0.3,1,3,10,30 train.epochs=5",
    "few points": f"{BOTH} data=drift data.rate=0 data.train_size=50,200 model.depth=2 "
    "model.width=40 model.weight_init=torch model.input_norm=false train.batch_size=10 "
    "train.epochs=40 optim.lr=0.01",
    "few digits": f"{DIGITS} data.train_size=100,300 model.width=16,64 train.batch_size=10 "
    "train.epochs=40 optim.lr=0.003",
    "steps": f"study=moving_average {MANY}",
    "rest and drift": "study=moving_average train.batch_size=16 train.epochs=16 "
    f"optim.lr=0.000001,0.001,0.01 norm.momentum=0.01,0.3 {MANY}",
    "digits norms": f"{LENET} train.epochs=4 norm=batch,group train.batch_size=2,8,64",
    "200 updates by 2": f"{LENET} norm=batch,group train.batch_size=2 train.epochs=1",
    "200 updates by 8": f"{LENET} norm=batch,group train.batch_size=8 train.epochs=4",
    "203 updates by 64": f"{LENET} norm=batch,group train.batch_size=64 train.epochs=29",
    "placements": f"{LENET} train.epochs=4 norm=batch norm.placement=before,after "
    "train.batch_size=8,64",
}
"""By name: what one would type after `normexp sweep`."""

STUDIES = {name: tuple(typed.split()) for name, typed in TYPED.items()}
"""The same as overrides."""
