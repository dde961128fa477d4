"""The Hydra seam: search path, groups, composition. Only `grammar` sees Hydra too."""

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
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from normexp.errors import NormexpError, UsageError
from normexp.study.grammar import parser

MEND = "mend that file, or leave out the choice that reads it"

SUFFIXES = (".yaml", ".yml")

LONG = 200
"""Characters of an override that an error shows."""

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
        raise UsageError(
            f"--config-dir {config_dir} is not a directory",
            "type the directory that holds study/, norm/ and the like",
        )
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
        self._parser = parser(self._loader)
        self._stamp = _stamp_of(packaged_configs(), _user_configs.get())

    def options(self, group: str) -> list[str]:
        """The choices of a group, sorted; empty where there is no such group."""
        return list(self._loader.get_group_options(group, ObjectType.CONFIG))

    def misplaced(self, group: str, choice: str) -> str | None:
        """What to do where a file of the user's is meant that cannot be found as it is."""
        is_file = choice.lower().endswith(SUFFIXES)
        name = Path(choice).stem if is_file else Path(choice).name
        if name != choice and name in self.options(group):
            return f"type {group}={name}"
        directory = _user_configs.get()
        if directory is None:
            where = (
                f"type --config-dir DIR {group}={name}, with the file at DIR/{group}/{name}.yaml"
            )
            return where if is_file else None
        if directory.name == group and (directory / f"{name}.yaml").is_file():
            return f"type --config-dir {directory.parent}"
        for path in (*directory.glob("*"), *(directory / group).rglob("*")):
            if path.stem == name and path.suffix.lower() in SUFFIXES:
                given = path.relative_to(directory)
                return f"move {given} in {directory} to {group}/{name}.yaml"
        return None

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides as Hydra's grammar reads them.

        Raises:
            UsageError: one of them is not in the grammar.
        """
        return [self._parsed(typed) for typed in overrides]

    def _parsed(self, typed: str) -> Override:
        try:
            (override,) = self._parser.parse_overrides([typed])
        except Exception as error:  # Hydra's own, and what Python says of digits and depth
            if isinstance(error.__cause__, UsageError):
                raise error.__cause__ from None
            shown = typed if len(typed) < LONG else f"{typed[:LONG]}…"
            raise UsageError(
                f"{shown!r} is not in Hydra's override grammar: {_reason(typed, error)}",
                "type key=value, key=a,b,c, 'key=range(8)' or group=choice; other characters need "
                "quotes within the shell's: \"key='a b'\"",
            ) from error
        return override

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
        for override in ("config", *overrides):
            _check_text(override.replace("=", "/"))
        try:
            composed = compose("config", list(overrides), return_hydra_config=True)
            chosen = OmegaConf.to_container(composed.hydra.runtime.choices)
            tree = OmegaConf.to_container(composed, resolve=False)
        except Exception as error:
            raise UsageError(f"the configs do not compose: {_one_line(error)}", MEND) from error
        assert isinstance(tree, dict)  # noqa: S101  the root of a composed config is a mapping
        assert isinstance(chosen, dict)  # noqa: S101
        del tree["hydra"]
        ours = {
            k: v for k, v in chosen.items() if v is not None and not str(k).startswith("hydra/")
        }
        return tree, ours  # type: ignore[return-value]

    def preset(self, group: str, choice: str) -> dict[str, Any]:
        """What the file of a choice sets, as a tree of its own."""
        _check_text(f"{group}/{choice}")
        try:
            preset = OmegaConf.to_container(compose(f"{group}/{choice}"), resolve=False)
        except Exception as error:
            raise UsageError(
                f"{group}={choice} does not compose: {_one_line(error)}", MEND
            ) from error
        assert isinstance(preset, dict)  # noqa: S101  the root of a composed config is a mapping
        return {str(name): value for name, value in preset.items()}


def _stamp_of(*directories: Path | None) -> Stamp:
    """Name, time and size of every config file: equal while no file has changed."""
    found = [path for place in directories if place for path in sorted(place.rglob("*.y*ml"))]
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found)


def _check_text(name: str) -> None:
    """Refuse a file of the user's that Hydra would misread: a mark would hide its first line."""
    path = (_user_configs.get() or packaged_configs()) / f"{name}.yaml"
    content = path.read_bytes() if path.is_file() else b""
    try:
        marked = content.decode().startswith("\ufeff")
    except UnicodeDecodeError:
        marked = True
    if marked:
        raise UsageError(
            f"{path} is no plain UTF-8, or begins with a byte order mark",
            "save it as UTF-8 without a byte order mark",
        )


def resolve(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with its interpolations resolved.

    Raises:
        UsageError: an interpolation points nowhere.
    """
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(dict(tree)), resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error.msg or error).partition("\n")[0]
        raise UsageError(
            f"{error.full_key or 'the configuration'} does not resolve: {reason}",
            "type a value, or the whole name of another field: '${train.batch_size}'",
        ) from error
    if not isinstance(resolved, dict):
        raise NormexpError("the configuration is not a mapping")
    return {str(key): value for key, value in resolved.items()}


def _reason(typed: str, error: Exception) -> str:
    """What Hydra says is wrong with an override, in a line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    head, _, rest = lines[0].partition(": ")
    if head == "LexerNoViableAltException":  # and a caret below the character
        return f"no {typed[lines[1].index('^') - len(head) - 2]!r} can stand where it does"
    found = next((line for line in lines if "Error parsing" not in line), rest)
    return found.strip().partition(" expecting ")[0]


def _one_line(error: Exception) -> str:
    """What Hydra or YAML says, without line breaks; with the error's name where it says little."""
    text = " ".join(str(error).split())
    known = isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError)
    return text if known else f"{type(error).__name__}: {text}"
