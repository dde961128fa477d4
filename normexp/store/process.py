"""Processes as others of the same store see them: on which machine, and whether they live."""

import hashlib
import os
import platform
import re
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """Return a name of the place where process numbers mean the same: host, boot and container.

    It has letters, digits, `_` and `-` only.
    """
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  the text, which is no path
    parts = [platform.node(), _line("/proc/sys/kernel/random/boot_id"), namespace]
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', platform.node())[:40]}-{digest}"


def lives(process: int, started: str | None = None) -> bool:
    """Return whether a process of this machine lives, and is the one that started then."""
    if process < 1:  # to the system, a group of processes
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is another user's
    return _about(process)[:1] != ["Z"] and started in (None, start_of(process))


def start_of(process: int) -> str:
    """Return when a process began, in the kernel's ticks; empty where this cannot be known."""
    return "".join(_about(process)[19:20])


def _about(process: int) -> list[str]:
    """Return Linux's fields on a process, from its state on; nothing elsewhere."""
    return _line(f"/proc/{process}/stat").rpartition(")")[2].split()


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
