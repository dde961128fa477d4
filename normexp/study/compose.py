"""The Hydra seam: its configs composed, its overrides parsed.

Hydra 1.3 counts ranges in binary, so that its range(0.1,0.4,0.1) has a fourth value, and sorts them
by their ends, so that its sort(range(7,0,-3)) is 3, 6, 9. Here ranges are counted in decimals.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from fractions import Fraction
from math import ceil, lcm
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, RangeSweep
from hydra.core.override_parser.types import Sweep as HydraSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from normexp.config.field import spell
from normexp.config.schema import packaged_configs
from normexp.errors import NormexpError, UsageError

MOST_VALUES = 1_000_000
"""The most values of an axis, and runs of a study."""

LONGEST_SHOWN = 200
"""The characters of an override that an error shows."""

SUFFIXES = (".yaml", ".yml")

Tree = dict[str, Any]

_user_configs: ContextVar[Path | None] = ContextVar("user_configs", default=None)
_composed: dict[Any, tuple[Tree, dict[str, str]]] = {}
"""Compositions of this process: a notebook and the tests compose the same configs many times."""


class UserConfigs(SearchPathPlugin):
    """Puts the user's own configs before the packaged ones.

    Hydra offers no argument for it: `hydra.searchpath` appends only.
    """

    def manipulate_search_path(self, search_path: Any) -> None:  # noqa: ANN401
        """Prepend the directory of the composition under way, if the user gave one."""
        if directory := _user_configs.get():
            search_path.prepend(provider="user", path=f"file://{directory}")


@contextmanager
def composer(config_dir: Path | None = None) -> "Iterator[Composer]":
    """Set up Hydra with the packaged configs, the user's before them.

    Raises:
        UsageError: `config_dir` is not a directory.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise UsageError(
            f"--config-dir {config_dir} is not a directory",
            "type the directory that holds study/, norm/ and the like",
        )
    user = config_dir.resolve() if config_dir else None
    Plugins.instance().register(UserConfigs)
    token = _user_configs.set(user)
    outer = GlobalHydra.instance().hydra  # of a program that uses Hydra itself
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(packaged_configs()), "normexp", version_base="1.3"):
            yield Composer(user)
    finally:
        GlobalHydra.instance().hydra = outer
        _user_configs.reset(token)


class Composer:
    """One set-up Hydra.

    Args:
        user: directory of the user's own configs.
    """

    def __init__(self, user: Path | None) -> None:
        self._user = user
        self._loader = GlobalHydra.instance().config_loader()
        functions = create_functions()
        sort = functions.functions["sort"]
        functions.functions["sort"] = lambda *args, **named: sort(  # the signature stays
            *map(_listed, args), **{name: _listed(arg) for name, arg in named.items()}
        )
        self._parser = OverridesParser(functions, self._loader)
        directories = [packaged_configs(), *([user] if user else [])]
        configs = [path for each in directories for path in sorted(each.rglob("*.y*ml"))]
        self._stamp = tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in configs)

    def options(self, group: str) -> list[str]:
        """Return the choices of a group, sorted; none if there is no such group."""
        return list(self._loader.get_group_options(group, ObjectType.CONFIG))

    def misplaced(self, group: str, choice: str) -> str | None:
        """Return a hint if a file of the user's is meant that cannot be found as it is."""
        is_file = choice.lower().endswith(SUFFIXES)
        name = Path(choice).stem if is_file else Path(choice).name
        if name != choice and name in self.options(group):
            return f"type {group}={name}"
        if self._user is None:
            where = f"--config-dir DIR {group}={name}, with the file at DIR/{group}/{name}.yaml"
            return f"type {where}" if is_file else None
        if self._user.name == group and (self._user / f"{name}.yaml").is_file():
            return f"type --config-dir {self._user.parent}"
        for path in (*self._user.glob("*"), *(self._user / group).rglob("*")):
            if path.stem == name and path.suffix.lower() in SUFFIXES:
                given = path.relative_to(self._user)
                return f"move {given} in {self._user} to {group}/{name}.yaml"
        return None

    def parse(self, typed: str) -> Override:
        """Return an override as Hydra's grammar reads it.

        Raises:
            UsageError: it is not in the grammar.
        """
        try:
            (override,) = self._parser.parse_overrides([typed])
        except Exception as error:  # Hydra's own, and Python's of digits and depth
            if isinstance(error.__cause__, UsageError):
                raise error.__cause__ from None
            shown = typed if len(typed) < LONGEST_SHOWN else f"{typed[:LONGEST_SHOWN]}…"
            raise UsageError(
                f"{shown!r} is not in Hydra's override grammar: {_reason(typed, error)}",
                "type key=value, key=a,b,c, 'key=range(8)' or group=choice; other characters need "
                "quotes within the shell's: \"key='a b'\"",
            ) from error
        return override

    def tree(self, choices: Mapping[str, str]) -> tuple[Tree, dict[str, str]]:
        """Return the composed tree, interpolations unresolved, and the choice in every group.

        Raises:
            UsageError: Hydra cannot compose it.
        """
        overrides = tuple(f"{group}={choice}" for group, choice in choices.items())
        key = (self._stamp, overrides)
        if key not in _composed:
            for name in ("config", *(f"{group}/{choice}" for group, choice in choices.items())):
                self._check_text(name)
            tree = self._compose("the configs do not compose", "config", overrides)
            chosen = tree.pop("hydra")["runtime"]["choices"].items()
            ours = {g: c for g, c in chosen if c is not None and not g.startswith("hydra/")}
            _composed[key] = tree, ours
        return deepcopy(_composed[key])

    def preset(self, group: str, choice: str) -> Tree:
        """Return the fields of the norm that the file of a framework sets."""
        self._check_text(f"{group}/{choice}")
        tree = self._compose(f"{group}={choice} does not compose", f"{group}/{choice}")
        if others := sorted(tree.keys() - {"norm", "hydra"}):
            raise UsageError(
                f"{group}={choice} sets {others[0]}, and a framework sets fields of the norm",
                "begin its file with '# @package norm' and put the fields below it",
            )
        fields: Tree = tree.get("norm", {})
        return fields

    def _compose(self, failure: str, name: str, overrides: tuple[str, ...] = ()) -> Tree:
        try:
            composed = compose(name, list(overrides), return_hydra_config=True)
            found: Any = OmegaConf.to_container(composed, resolve=False)
        except Exception as error:
            reason = " ".join(str(error).split())
            if not isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError):
                reason = f"{type(error).__name__}: {reason}"
            raise UsageError(
                f"{failure}: {reason}", "mend that file, or leave out the choice that reads it"
            ) from error
        tree: Tree = found
        return tree

    def _check_text(self, name: str) -> None:
        """Refuse a file that Hydra would misread: a byte order mark would hide its first line."""
        path = (self._user or packaged_configs()) / f"{name}.yaml"
        content = path.read_bytes() if path.is_file() else b""
        try:
            is_plain = not content.decode().startswith("\ufeff")
        except UnicodeDecodeError:
            is_plain = False
        if not is_plain:
            raise UsageError(
                f"{path} is no plain UTF-8, or begins with a byte order mark",
                "save it as UTF-8 without a byte order mark",
            )


def resolve(tree: Mapping[str, Any]) -> Tree:
    """Return the tree with its interpolations resolved.

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


def values(override: Override) -> list[Any]:
    """Return the values that an override gives its key, without quotes; none for `~key`.

    Raises:
        UsageError: a range that is none, or a sweep inside of another value.
    """
    if override.value_type is None:
        return []
    whole = override.value()
    if isinstance(whole, RangeSweep):
        return _counted(whole)
    if not override.is_sweep_override():
        return [_plain(whole, override)]
    return [_plain(value, override) for value in override.sweep_iterator()]


def _listed(arg: Any) -> Any:  # noqa: ANN401
    return ChoiceSweep(list=_counted(arg)) if isinstance(arg, RangeSweep) else arg


def _counted(sweep: RangeSweep) -> list[Any]:
    """Return the values of a range in decimals: a float's shortest text is what was typed."""
    ends = (sweep.start, sweep.stop, sweep.step)
    typed = f"range({','.join(map(str, ends))})"
    try:
        start, stop, step = (Fraction(repr(end)) for end in ends)
        number = max(0, ceil((stop - start) / step))
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            f"{typed}: three finite numbers are needed, the step other than 0",
            "type for example 'range(8)' or 'range(0.1,0.5,0.1)'",
        ) from None
    if number > MOST_VALUES:
        raise UsageError(f"{typed}: more than {MOST_VALUES:,} values", "type a larger step")
    unit = lcm(start.denominator, step.denominator)  # of whole numbers, since fractions are slow
    first, apart = int(start * unit), int(step * unit)
    found: list[Any] = [first + each * apart for each in range(number)]
    if not all(isinstance(end, int) for end in ends):
        found = [each / unit for each in found]
    if sweep.shuffle:
        random.shuffle(found)
    return found


def _plain(value: Any, override: Override) -> Any:  # noqa: ANN401
    """Return a parsed value without Hydra's quotes."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, HydraSweep | Glob):
        field = ".FIELD" if isinstance(override.value(), Mapping) else ""
        raise UsageError(
            f"{override.input_line}: a sweep cannot stand inside of another value",
            f"type {override.key_or_group}{field}=A,B,C, or one choice(), range() or glob() alone",
        )
    if isinstance(value, Mapping):
        return {_plain(key, override): _plain(part, override) for key, part in value.items()}
    return [_plain(part, override) for part in value] if isinstance(value, list) else value


def _reason(typed: str, error: Exception) -> str:
    """Return Hydra's description of a mistake in an override, in a line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    head, _, rest = lines[0].partition(": ")
    if head == "LexerNoViableAltException":  # and a caret below the character
        return f"no {typed[lines[1].index('^') - len(head) - 2]!r} can stand where it does"
    found = next((line for line in lines if "Error parsing" not in line), rest)
    return found.strip().partition(" expecting ")[0]


def texts_of(overrides: Sequence[object], keywords: Mapping[str, object]) -> list[str]:
    """Return overrides as one list of texts, with what Python's keywords say at its end."""
    texts: list[str] = []
    for each in overrides:
        given = [each] if isinstance(each, str) else each
        if not isinstance(given, list | tuple) or not all(isinstance(t, str) for t in given):
            raise UsageError(
                f"overrides are texts, not {type(each).__name__}",
                "write for example plan('seed=0', 'norm=batch')",
            )
        texts += given
    for key, value in keywords.items():
        several = value if isinstance(value, list | tuple | range) else [value]
        texts.append(f"{key}={','.join(map(spell, several))}")
    return texts
