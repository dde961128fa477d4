"""The Hydra seam: search path, groups, override grammar, composition. Nothing else sees Hydra."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from normexp.errors import NormexpError, UsageError

Tree = dict[str, Any]
Stamp = tuple[tuple[str, int, int], ...]

_user_configs: ContextVar[Path | None] = ContextVar("user_configs", default=None)
_composed: dict[tuple[Stamp, tuple[str, ...]], tuple[Tree, dict[str, str]]] = {}
"""Compositions of this process: a notebook and the tests compose the same configs many times."""


class UserConfigs(SearchPathPlugin):
    """Puts the user's own configs before the packaged ones.

    Hydra offers no argument for it: `hydra.searchpath` appends only.
    """

    def manipulate_search_path(self, search_path: Any) -> None:  # noqa: ANN401
        """Prepend the directory of the composition under way, if the user gave one."""
        if directory := _user_configs.get():
            search_path.prepend(provider="user", path=f"file://{directory}")


def packaged_configs() -> Path:
    """`configs/`: inside the installed package, or at the top of the working tree."""
    installed = Path(str(files("normexp"))) / "configs"
    return installed if installed.is_dir() else installed.parents[1] / "configs"


@contextmanager
def composer(config_dir: Path | None = None) -> "Iterator[Composer]":
    """A Hydra set up with the packaged configs, the user's before them.

    Raises:
        UsageError: `config_dir` is not a directory.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise UsageError(f"--config-dir {config_dir} is not a directory")
    Plugins.instance().register(UserConfigs)
    token = _user_configs.set(config_dir.resolve() if config_dir else None)
    outer = GlobalHydra.instance().hydra  # of a program that uses Hydra itself
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(packaged_configs()), "normexp", version_base="1.3"):
            yield Composer()
    finally:
        GlobalHydra.instance().hydra = outer
        _user_configs.reset(token)


class Composer:
    """What one set-up Hydra answers."""

    def __init__(self) -> None:
        self._loader = GlobalHydra.instance().config_loader()
        self._stamp = _stamp_of(packaged_configs(), _user_configs.get())

    def options(self, group: str) -> list[str]:
        """The choices of a group, sorted; empty where there is no such group."""
        return list(self._loader.get_group_options(group, ObjectType.CONFIG))

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides as Hydra's grammar reads them.

        Raises:
            UsageError: one of them is not in the grammar.
        """
        try:
            return OverridesParser.create(self._loader).parse_overrides(list(overrides))
        except HydraException as error:
            typed = getattr(error, "override", None) or " ".join(overrides)
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = next((line for line in lines if "Error parsing" not in line), lines[0])
            reason = reason.partition(" expecting ")[0]
            raise UsageError(
                f"{typed!r} is not in Hydra's override grammar: {reason}",
                "type key=value, key=a,b,c, 'key=range(8)' or group=choice; other characters need "
                "quotes within the shell's: \"key='a b'\"",
            ) from error

    def tree(self, choices: Mapping[str, str]) -> tuple[Tree, dict[str, str]]:
        """The composed tree, interpolations unresolved, and the choice made in every group.

        Raises:
            UsageError: Hydra cannot compose it.
        """
        overrides = tuple(f"{group}={choice}" for group, choice in choices.items())
        key = (self._stamp, overrides)
        if key not in _composed:
            _composed[key] = self._compose(overrides)
        return deepcopy(_composed[key])

    def _compose(self, overrides: tuple[str, ...]) -> tuple[Tree, dict[str, str]]:
        try:
            composed = compose("config", list(overrides), return_hydra_config=True)
            chosen = OmegaConf.to_container(composed.hydra.runtime.choices)
            tree = OmegaConf.to_container(composed, resolve=False)
        except Exception as error:
            raise UsageError(f"the configs do not compose: {_one_line(error)}") from error
        assert isinstance(tree, dict)  # noqa: S101  the root of a composed config is a mapping
        assert isinstance(chosen, dict)  # noqa: S101
        del tree["hydra"]
        ours = {
            k: v for k, v in chosen.items() if v is not None and not str(k).startswith("hydra/")
        }
        return tree, ours  # type: ignore[return-value]

    def preset(self, group: str, choice: str) -> dict[str, Any]:
        """What the file of a choice sets, as a tree of its own."""
        try:
            preset = OmegaConf.to_container(compose(f"{group}/{choice}"), resolve=False)
        except Exception as error:
            raise UsageError(f"{group}={choice} does not compose: {_one_line(error)}") from error
        assert isinstance(preset, dict)  # noqa: S101  the root of a composed config is a mapping
        return {str(name): value for name, value in preset.items()}


def _stamp_of(*directories: Path | None) -> Stamp:
    """Name, time and size of every config file: equal while no file has changed."""
    found = [path for place in directories if place for path in sorted(place.rglob("*.y*ml"))]
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found)


def resolve(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with its interpolations resolved.

    Raises:
        UsageError: an interpolation points nowhere.
    """
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(dict(tree)), resolve=True)
    except OmegaConfBaseException as error:
        raise UsageError(f"the configuration does not resolve: {_one_line(error)}") from error
    if not isinstance(resolved, dict):
        raise NormexpError("the configuration is not a mapping")
    return {str(key): value for key, value in resolved.items()}


def _one_line(error: Exception) -> str:
    """What Hydra or YAML says, without line breaks; with the error's name where it says little."""
    text = " ".join(str(error).split())
    known = isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError)
    return text if known else f"{type(error).__name__}: {text}"
