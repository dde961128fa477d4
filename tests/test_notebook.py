"""Progress and result of a sweep in a notebook: what a kernel of Jupyter's shows its reader."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

WORDS = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=range(4)"]
SWEEP = f"import normexp; normexp.sweep(*{WORDS})"
HEARD = f"import normexp; normexp.sweep(*{WORDS}, progress=print)"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[BlockingKernelClient]:
    """A kernel in a directory of its own, and one who reads what it says."""
    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield client
    client.stop_channels()
    manager.shutdown_kernel()


def shown(kernel: BlockingKernelClient, code: str) -> list[tuple[str, dict[str, Any]]]:
    """What a cell shows: kinds of messages, and their content."""
    got: list[tuple[str, dict[str, Any]]] = []
    kernel.execute_interactive(
        code,
        timeout=120,
        output_hook=lambda message: got.append((message["msg_type"], message["content"])),
    )
    return [each for each in got if each[0] not in ("status", "execute_input")]


def test_a_notebook_shows_progress_and_then_a_table(kernel: BlockingKernelClient) -> None:
    """One output is drawn again and again and is empty at the end; the result is a table."""
    (first, begun), *drawn, (last, result) = shown(kernel, SWEEP)
    places = {content["transient"]["display_id"] for _, content in drawn}

    assert (first, last) == ("display_data", "execute_result")
    assert {kind for kind, _ in drawn} == {"update_display_data"}
    assert places == {begun["transient"]["display_id"]}
    assert "0/8 runs stored" in begun["data"]["text/html"]
    assert "momentum" in begun["data"]["text/html"]
    assert "".join(drawn[-1][1]["data"].values()) == ""
    assert "<table" in result["data"]["text/html"]


def test_a_notebook_whose_sweep_has_nothing_to_do_shows_the_table_alone(
    kernel: BlockingKernelClient,
) -> None:
    """So does one with a listener of its own."""
    kinds = {kind for kind, _ in shown(kernel, HEARD)}

    assert [kind for kind, _ in shown(kernel, SWEEP)] == ["execute_result"]
    assert kinds == {"stream", "execute_result"}
