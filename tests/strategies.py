"""What Hypothesis draws: texts, values of fields, whole configurations; and how long it searches.

`HYPOTHESIS_PROFILE=thorough` searches longer, and elsewhere each time; the default does not vary.
"""

import math
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from normexp.config.field import FieldSpec, specs
from normexp.config.schema import KINDS, SECTIONS

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "steady")
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=FIXTURES
)
settings.register_profile(
    "thorough", deadline=None, database=None, print_blob=True, suppress_health_check=FIXTURES
)
settings.load_profile(PROFILE)


def examples(number: int) -> settings:
    """So many, or twenty times as many where the search is to be thorough."""
    return settings(max_examples=number * (20 if PROFILE == "thorough" else 1))


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.text(CHARACTERS | st.sampled_from("\\'\"${}#~ "), min_size=1, max_size=12)


def values(spec: FieldSpec) -> st.SearchStrategy[Any]:
    """Whatever a field takes."""
    low, high = spec.rule.minimum, spec.rule.maximum
    every: st.SearchStrategy[Any]
    if spec.choices:
        every = st.sampled_from(spec.choices)
    elif spec.type is bool:
        every = st.booleans()
    elif spec.type is int:
        least = -(2**63) + 1 if math.isinf(low) else int(low)
        most = 2**63 - 1 if math.isinf(high) else int(high)
        every = st.integers(least, most)
    elif spec.type is float:
        every = st.floats(
            None if math.isinf(low) else low,
            None if math.isinf(high) else high,
            allow_nan=False,
            allow_infinity=False,
            exclude_min=spec.rule.exclusive and not math.isinf(low),
            exclude_max=spec.rule.exclusive and not math.isinf(high),
        )
    else:
        every = TEXTS
    return st.one_of(st.none(), every) if spec.optional else every


@st.composite
def sections(draw: st.DrawFn, cls: type) -> dict[str, Any]:
    """A section with every field at its default or anywhere else."""
    fields = {
        name: draw(st.one_of(st.just(spec.default), values(spec)))
        for name, spec in specs(cls).items()
        if name != "convention"
    }
    return fields | {"kind": specs(cls)["kind"].default} if "kind" in fields else fields


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """A whole configuration."""
    kinds = {group: draw(st.sampled_from(sorted(KINDS[group]))) for group in KINDS}
    classes = {group: KINDS[group][kind] for group, kind in kinds.items()} | SECTIONS
    return {name: draw(sections(cls)) for name, cls in classes.items()} | {
        "seed": draw(st.integers(0, 2**63 - 1))
    }
