"""Errors that end a command: one line that says what is wrong, one that says what to type."""


class NormexpError(Exception):
    """Root of every error that normexp raises on purpose.

    Args:
        message: what was given and what is allowed, in one line.
        hint: what to type next, if there is such a thing.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(NormexpError):
    """Wrong input: a key, a value, a combination."""

    exit_code = 2


class VerificationError(NormexpError):
    """What is stored is not what was stored, or not what its configuration gives."""

    exit_code = 4


class SweepInterruptedError(NormexpError):
    """Somebody asked a sweep to stop; what is stored is whole."""

    exit_code = 130


class NotFoundError(NormexpError):
    """What was asked for is not in the store."""

    exit_code = 3


def describe(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, NormexpError):
        return error.message
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
