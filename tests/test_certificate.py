"""Where certificates are written, and where not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from typer.testing import Result


@pytest.mark.parametrize("name", ["important.txt", "manifest.json"])
def test_nothing_is_overwritten_but_a_certificate(
    normexp: Callable[..., Result], name: str
) -> None:
    """A file of the user's, or of a run."""
    normexp("sweep", *SMALL, "norm=none", "seed=0")
    (run,) = Path("runs/bn_regression").glob("none-*")
    path = run / name
    before = path.read_bytes() if path.exists() else b"mine"
    path.write_bytes(before)
    refused = normexp("reproduce", str(run), "--out", str(path))
    twice = [normexp("reproduce", str(run)).exit_code for _ in range(2)]

    assert refused.exit_code == 2
    assert "something else than a certificate is there" in refused.stderr
    assert path.read_bytes() == before
    assert twice == [0, 0]
