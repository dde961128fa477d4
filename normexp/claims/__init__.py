"""The claims of the five sources, each with a criterion, and verdicts computed from runs."""
