"""`rm` and `gc` killed at random moments beside a sweep; see tests/harness/removals.py."""

import random
from pathlib import Path

import pytest
from removals import Template, kill, made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A store with two sweeps that share runs, and rubbish."""
    return made(tmp_path_factory.mktemp("removals"), ("a sweep", "gc"))


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_by_a_removal_that_is_killed_beside_a_sweep(
    template: Template, seed: int
) -> None:
    """What stays is sound, the sweep has all of its runs, the bytes are those that were said."""
    rng = random.Random(seed)  # noqa: S311  not for secrets
    _, faults = kill(template, Path("copy").absolute(), rng)

    assert faults == []
