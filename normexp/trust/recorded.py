"""One stored run as it stands, whatever a stranger has made of it; errors lead to `verify`."""

from pathlib import Path

from normexp.errors import NormexpError, VerificationError
from normexp.store.manifest import MANIFEST, read_manifest
from normexp.store.selection import find_run
from normexp.store.stored import Stored

TYPE_VERIFY = "type normexp verify"


def find(store: Path, wanted: str) -> Stored:
    """The run with this id or beginning of an id, name, or directory.

    Raises:
        NotFoundError: there is none, or more than one.
        VerificationError: its manifest cannot be read.
    """
    return recorded(find_run(store, wanted))


def recorded(directory: Path) -> Stored:
    """The run in a directory; of its files only the manifest is read.

    Raises:
        VerificationError: its manifest cannot be read.
    """
    try:
        manifest = read_manifest(directory)
    except NormexpError as error:
        raise VerificationError(error.message, TYPE_VERIFY) from error
    if manifest["kind"] != "run":
        raise VerificationError(f"{directory / MANIFEST} is no run's manifest", TYPE_VERIFY)
    return Stored(directory, manifest)


def understood(run: Stored) -> Stored:
    """The run, if its configuration is one.

    Raises:
        VerificationError: it is not.
    """
    try:
        _ = run.config
    except (NormexpError, TypeError, AttributeError, ValueError) as error:
        raise not_this_run(run, str(error)) from error
    return run


def not_this_run(run: Stored, why: str) -> VerificationError:
    """The error for a configuration that does not give the recorded run."""
    return VerificationError(
        f"the configuration in {run.directory / MANIFEST} is not that of run {run.id}: {why}",
        "take a copy of the directory that nobody has edited",
    )
