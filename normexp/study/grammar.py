"""Hydra's override grammar, its ranges counted in decimals and its sweeps written out as values.

Hydra 1.3 counts ranges in binary, so that its range(0.1,0.4,0.1) has a fourth value, and sorts them
by their ends, so that its sort(range(7,0,-3)) is 3, 6, 9.
"""

import random
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil, lcm
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, RangeSweep
from hydra.core.override_parser.types import Sweep as HydraSweep

from normexp.errors import UsageError

MOST_VALUES = 1_000_000
"""Of an axis, and runs of a study: beyond it is a slip of the finger."""


def parser(loader: ConfigLoader) -> OverridesParser:
    """Hydra's parser, its `sort` given the values of a range in place of the range."""
    functions = create_functions()
    hydras = functions.functions["sort"]

    def sort(*args: Any, **named: Any) -> Any:  # noqa: ANN401  as Hydra declares it
        return hydras(*map(_listed, args), **{name: _listed(arg) for name, arg in named.items()})

    functions.functions["sort"] = sort  # the signature stays
    return OverridesParser(functions, loader)


def values(override: Override) -> list[Any]:
    """The values that an override gives its key, quotes left out; none for `~key`.

    Raises:
        UsageError: a range that is none, or a sweep inside of another value.
    """
    if override.value_type is None:
        return []
    whole = override.value()
    if isinstance(whole, RangeSweep):
        return _counted(whole)
    found: Iterable[Any] = override.sweep_iterator() if override.is_sweep_override() else [whole]
    return [_plain(value, override) for value in found]


def _listed(arg: Any) -> Any:  # noqa: ANN401
    return ChoiceSweep(list=_counted(arg)) if isinstance(arg, RangeSweep) else arg


def _counted(sweep: RangeSweep) -> list[Any]:
    """The values of a range as its decimals mean them: the shortest text of a float is as typed."""
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


def _sweepable(override: Override) -> str:
    field = ".FIELD" if isinstance(override.value(), Mapping) else ""
    return override.key_or_group + field


def _plain(value: Any, override: Override) -> Any:  # noqa: ANN401
    """A parsed element without Hydra's quotes."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, HydraSweep | Glob):
        raise UsageError(
            f"{override.input_line}: a sweep cannot stand inside of another value",
            f"type {_sweepable(override)}=A,B,C, or one choice(), range() or glob() alone",
        )
    if isinstance(value, Mapping):
        return {_plain(key, override): _plain(part, override) for key, part in value.items()}
    return [_plain(part, override) for part in value] if isinstance(value, list) else value
