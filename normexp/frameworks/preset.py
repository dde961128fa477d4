"""What `norm/framework=NAME` sets: a framework's defaults as fields of `norm`."""

from normexp.frameworks.direction import turned
from normexp.frameworks.framework import Framework
from normexp.frameworks.table import FRAMEWORKS

OWN_CHOICES = {"haiku": 0.1}
"""The weight of the newest batch where a framework has no default."""

OLD_VARIANCES = {"caffe2": "biased"}
"""The variance that is averaged where it depends on the version: the oldest's."""

ESTIMATORS = {"none": "ema", "debiased": "debiased", "divided": "divided"}


def presets() -> dict[str, Framework]:
    """The frameworks that a study can train and evaluate as, by name."""
    return {name: each for name, each in FRAMEWORKS.items() if not each.no_preset}


def fields_of(framework: Framework) -> dict[str, str | float | bool | None]:
    """The fields of `norm`, momentum in PyTorch's direction; 0 and 1 where the caller starts it."""
    default = framework.default
    if default is None:
        newest = OWN_CHOICES[framework.name]
    else:
        newest = default if framework.weighs == "new" else turned(default)
    common = {
        "momentum": newest,
        "eps": framework.eps,
        "running_variance": OLD_VARIANCES.get(framework.name, framework.averages),
        "convention": "torch",
    }
    if framework.normalises == "running average":
        return {"kind": "ema_train", **common, "copy_first": framework.copies_first}
    mean, var = framework.initial_mean, framework.initial_var
    return {
        **common,
        "momentum_schedule": "constant",
        "normalizing_variance": framework.normalises_by,
        "estimator": ESTIMATORS[framework.debiasing],
        "initial_mean": 0.0 if mean is None else mean,
        "initial_var": 1.0 if var is None else var,
    }
