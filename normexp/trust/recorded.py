"""A run as its own directory records it: neither a study nor today's defaults are asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from normexp.config.differences import completed
from normexp.config.field import Scalar
from normexp.config.identity import run_id, stack_key
from normexp.config.tree import Tree, flatten, from_tree, nest, specs_of
from normexp.errors import NormexpError, NotFoundError, UsageError, VerificationError
from normexp.store.files import MANIFEST, read_manifest
from normexp.store.layout import StudyDirectory
from normexp.store.places import Place, find_data, recorded_place
from normexp.store.regular import MOST_BYTES, check_files, read_regular
from normexp.store.selection import find_run
from normexp.store.texts import from_yaml
from normexp.study.check import check
from normexp.study.run import Base, Run
from normexp.study.settle import settle

TYPE_VERIFY = "type normexp verify"


@dataclass(frozen=True)
class Recorded:
    """One run's directory and what its manifest says."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """Of the run."""
        return str(self.manifest["run_id"])

    @property
    def name(self) -> str:
        """The run's name for people."""
        return str(self.manifest.get("label") or self.directory.name)

    @property
    def study(self) -> StudyDirectory:
        """The study's directory, if the run's has not been copied away."""
        return StudyDirectory(self.directory.absolute().parent)

    @property
    def trajectory(self) -> Path:
        """Where the training is, if it is there."""
        return self.study.trajectory(Path(str(self.manifest["trajectory_id"])).name)

    @cached_property
    def flat(self) -> dict[str, Scalar]:
        """The configuration by dotted names, as recorded; what is newer is at its neutral value.

        Raises:
            VerificationError: it is not a configuration, or not this run's.
        """
        config: dict[str, Scalar] = dict(self.manifest["config"])
        try:
            specs = specs_of(config)
            flat = flatten(from_tree(nest(completed(config))))
        except (UsageError, TypeError, AttributeError, ValueError) as error:
            raise self.not_this_run(str(error)) from error
        return {path: value for path, value in flat.items() if path in specs}

    @property
    def tree(self) -> Tree:
        """The configuration, nested."""
        return nest(self.flat)

    @property
    def stack_key(self) -> str:
        """Equal for runs whose networks can train together."""
        return stack_key(from_tree(self.tree))

    def not_this_run(self, why: str) -> VerificationError:
        """The error for a configuration that does not give the recorded run."""
        return VerificationError(
            f"the configuration in {self.directory / MANIFEST} is not that of run {self.id}: {why}",
            "take a copy of the directory that nobody has edited",
        )

    def run(self, places: Sequence[Place] = ()) -> Run:
        """The run, ready to be trained.

        Args:
            places: where data in files may stand here, beside where they stood.

        Raises:
            UsageError: the data are not there, or are others.
            VerificationError: the configuration is not that of the recorded run.
        """
        config = from_tree(nest({**self.flat, **recorded_place(self.manifest)}))
        data = find_data([config.data], places)[config.data]
        if isinstance(data, UsageError):
            raise data
        try:
            config = settle(replace(config, data=data))
        except UsageError as error:
            raise self.not_this_run(error.message) from error
        if run_id(config) != self.id:
            raise self.not_this_run(f"it gives run {run_id(config)}")
        check(config)
        return Run(config, Base(self._choices(), nest(flatten(config))))

    def _choices(self) -> dict[str, str]:
        """What was chosen in every config group, by the names of that time."""
        try:
            head = from_yaml(read_regular(self.directory / ".hydra/hydra.yaml", MOST_BYTES))
            choices = head["hydra"]["runtime"]["choices"]
            return {str(group): str(choice) for group, choice in choices.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise VerificationError(
                f"{self.directory / '.hydra/hydra.yaml'} cannot be read", TYPE_VERIFY
            ) from error


def find(store: Path, wanted: str) -> Recorded:
    """A run by its id or the beginning of it, its name, or its directory.

    Raises:
        NotFoundError: there is none, or more than one.
        VerificationError: its manifest cannot be read.
    """
    return read(locate(store, wanted))


def locate(store: Path, wanted: str) -> Path:
    """A run's directory, whatever state its manifest is in.

    Raises:
        NotFoundError: there is none, or more than one.
    """
    try:
        return find_run(store, wanted)
    except NotFoundError:
        raise
    except (NormexpError, KeyError, TypeError):  # a directory, with a manifest that is none
        return Path(wanted)


def read(directory: Path) -> Recorded:
    """The run in a directory.

    Raises:
        VerificationError: its manifest cannot be read.
    """
    try:
        manifest = read_manifest(directory)
    except NormexpError as error:
        raise VerificationError(error.message, TYPE_VERIFY) from error
    if manifest["kind"] != "run":
        raise VerificationError(f"{directory / MANIFEST} is no run's manifest", TYPE_VERIFY)
    return Recorded(directory, manifest)


def damage(directory: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The files that are not as the manifest says, and what they are; every byte is read."""
    wrong, _ = check_files(directory, manifest["files"])
    return wrong
