"""One framework's batch norm, as data."""

from dataclasses import dataclass
from typing import Literal

Weighs = Literal["new", "old", "time constant", "nothing"]
"""What the parameter is the weight of: the new batch, the old value; or how long it remembers."""

Variance = Literal["biased", "unbiased", "depends on version", "not verified"]
"""Over n, over n − 1, one in some versions, or a source that has not been read."""

Normalises = Literal["batch", "running average", "instance"]
"""Whose statistics x is normalised by in training."""

Debiasing = Literal["none", "debiased", "divided"]
"""Whether the initial value is taken out of the average when it is used.

debiased: (r_t − w_t r_0) / (1 − w_t), with w_t the weight left on the initial value r_0.
divided: r_t / (1 − w_t), the initial value and all.
"""

CALLER = "the caller's"
BOTH = "both"
FIRST_BATCH = "the first batch"


@dataclass(frozen=True, kw_only=True)
class Framework:
    """The conventions of one framework's batch norm, read in its source.

    Attributes:
        name: as typed.
        title: as printed.
        parameter: what the momentum is called; None where there is none to choose.
        weighs: what it is the weight of.
        default: of the parameter; None where there is none.
        eps: default; None where the caller gives it.
        normalises: whose statistics training normalises by.
        normalises_by: the variance that x is divided by in training.
        averages: the batch variance that enters the running variance.
        debiasing: of the average when it is used.
        initial_mean: of the running mean; None where the caller gives it.
        initial_var: of the running variance; None where the caller gives it.
        copies_first: the first batch is copied, no initial value enters.
        none_is: the number that None stands for; None where it is none.
        cumulative: the value that gives the cumulative mean, as typed; empty where none does.
        at_zero: what the value 0 does; empty where nobody has looked.
        at_one: what the value 1 does.
        one_value: what becomes of one value a channel in training.
        affine: which of scale and shift are trained by default.
        remarks: what else a porter should know.
        source: repository, path and commit.
        no_preset: why there is no `norm/framework=NAME`; empty where there is.
    """

    name: str
    title: str
    parameter: str | None
    weighs: Weighs
    default: float | None
    eps: float | None
    normalises: Normalises = "batch"
    normalises_by: Variance = "biased"
    averages: Variance
    debiasing: Debiasing = "none"
    initial_mean: float | None = 0.0
    initial_var: float | None = 1.0
    copies_first: bool = False
    none_is: float | None = None
    cumulative: str = ""
    at_zero: str = ""
    at_one: str = ""
    one_value: str = ""
    affine: str = BOTH
    remarks: str = ""
    source: str
    no_preset: str = ""

    @property
    def starts_at(self) -> str:
        """The initial mean and variance in words: `0, 1`, `FIRST_BATCH` or `CALLER`."""
        if self.copies_first:
            return FIRST_BATCH
        if self.initial_mean is None or self.initial_var is None:
            return CALLER
        return f"{self.initial_mean:g}, {self.initial_var:g}"
