"""The bench: that it runs, and that every peer does the same work as normexp."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).with_name("harness") / "bench.py"


@pytest.mark.parametrize("work", ["a", "b"])
def test_every_peer_comes_to_normexp_s_losses(work: str, tmp_path: Path) -> None:
    """In a few steps no last bit grows: all but equal losses, run by run."""
    out = tmp_path / "bench.json"
    command = [sys.executable, str(BENCH), "--quick", "--only", work, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads(out.read_text())["lines"]
    normexp, *peers = [line for line in lines if line["missing"] is None]

    ours = {(momentum, seed): losses for momentum, seed, *losses in normexp["finals"]}
    assert len(peers) >= 2
    for peer in peers:
        for momentum, seed, *losses in peer["finals"]:
            assert losses == pytest.approx(ours[momentum, seed], rel=1e-3), peer["peer"]
