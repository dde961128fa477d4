"""What runs say together: arms over their seeds, and comparisons of two arms."""

from normexp.analysis.arms import (
    ACCURACIES,
    LOSSES,
    Arm,
    Estimate,
    Row,
    arms,
    estimate,
)

__all__ = ["ACCURACIES", "LOSSES", "Arm", "Estimate", "Row", "arms", "estimate"]
