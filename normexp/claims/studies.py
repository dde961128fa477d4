"""The studies behind the claims, and claims without a verdict by runs.

Studies are overrides of packaged studies, shared by several claims each. Runs are kept in the store
under the packaged study's name, so that what a user has swept already is not made again.

An identity cannot come out otherwise, so it takes no part in the count of verdicts;
`tests/test_identities.py` proves each one, with PyTorch's own modules where they are its subject.
"""

from normexp.claims.criteria import Settled

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


IDENTITIES = (
    Settled("S0.2", "a small momentum lets the current batch matter more, a large one history",
            "fails",
            "inverted: in PyTorch momentum is the weight of the newest batch; right for Keras"),
    Settled("S0.3", "a small momentum makes training unstable, a large one stable and fast",
            "fails",
            "training never reads running statistics: weights and losses are equal to the bit"),
    Settled("S0.5", "batch norm gives every feature mean 0 and variance 1 within the mini-batch",
            "holds", "before scale and shift; the biased variance is var / (var + eps)"),
    Settled("S1.6", "batch norm does not care for the initial bias (in training)", "holds",
            "the batch mean contains the bias, and is subtracted"),
    Settled("S1.9", "evaluation mode fixes the moving mean and variance", "holds",
            "in evaluation mode running statistics are read and never written"),
    Settled("S2.1", "moving ← moving·m + batch·(1−m)", "holds",
            "the definition of TensorFlow and Keras, whose m is 1 − momentum in PyTorch"),
    Settled("S2.2", "in this formula Keras uses 0.99 and PyTorch 0.9", "holds",
            "by their defaults; what you type in PyTorch is 0.1"),
    Settled("S2.3", "they start at (0, 1); in theory any value works", "holds only if",
            "m^T is negligible: that share of the start is left after T steps"),
    Settled("S2.4", "the incremental form, moving −= (moving − batch)·(1−m), is equivalent",
            "holds", "the same polynomial"),
    Settled("S2.10", "its numpy code is batch norm as the frameworks have it", "holds only if",
            "the framework averages biased variances, as Keras does; PyTorch's are B/(B − "
            "1) of them"),
    Settled("S3.2", "batch norm gives every sample of a batch the same statistics", "fails",
            "means and variances are taken per feature over the batch, not per sample"),
    Settled("S3.3", "the scale controls the range, the offset the variance of the output", "fails",
            "the offset is the outputs' mean, the scale their standard deviation"),
    Settled("S4.1", "axes of an image batch: BN over N·H·W, LN C·H·W, IN H·W, GN (C/G)·H·W",
            "holds", "the definitions, for images"),
    Settled("S4.3", "grouped convolution is a variant of group norm", "fails",
            "a convolution is linear: its output doubles with its input, group norm's stays"),
    Settled("S4.5", "group norm works on 1-D, 2-D and 3-D data", "holds",
            "PyTorch's does; the source's own code takes images only"),
    Settled("S4.6", "the hand-written norms are what PyTorch's modules compute", "holds only if",
            "n is large: x.var() is unbiased, so outputs are √((n − 1)/n) of PyTorch's, "
            "0.707 at n = 2"),
    Settled("S4.7", "layer norm does not depend on the batch size", "holds",
            "its statistics are those of one example"),
)  # fmt: skip

NOT_CHECKABLE = (
    Settled("S0.6", "the script compares three momenta", "not checkable",
            "it does not run: an initialiser is undefined; study=momentum_convention is it, "
            "corrected"),
    Settled("S1.5", "the 'bad' initial bias −0.2 shows the plain network's weakness",
            "not checkable",
            "the plain network does not learn from a bias of 0 either, so no bias can show "
            "a weakness"),
    Settled("S3.6", "the code trains a LeNet on CIFAR-10", "not checkable",
            "it does not run: an import is missing; study=placement is it, corrected"),
    Settled("S4.8", "its BatchNorm module can be used in place of PyTorch's", "not checkable",
            "about the source's code: its running statistics are no buffers and are not detached"),
    Settled("S4.9", "batch norm reduces internal covariate shift", "not checkable",
            "the source does not say what would be measured; that it regularises is S1.3"),
)  # fmt: skip
