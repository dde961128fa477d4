"""Processes as others of the same store see them: on which machine, and whether they live."""

import hashlib
import os
import platform
import re
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """Names where process numbers mean the same: host, time since boot, and container.

    Letters, digits, `_` and `-` only.
    """
    parts = [platform.node(), _line("/proc/sys/kernel/random/boot_id"), _namespace()]
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', platform.node())[:40]}-{digest}"


def lives(process: int, started: str | None = None) -> bool:
    """Whether a process of this machine lives; with `started`, whether it is still the same one."""
    if process < 1:  # to the system, a group of processes
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is another user's
    about = _about(process)
    return about[:1] != ["Z"] and started in (None, start_of(process))


def start_of(process: int) -> str:
    """When a process began, in the kernel's ticks; empty where this cannot be known."""
    return "".join(_about(process)[19:20])


def _about(process: int) -> list[str]:
    """What Linux says of a process, from its state on; nothing elsewhere."""
    return _line(f"/proc/{process}/stat").rpartition(")")[2].split()


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  the text, which is no path
    except OSError:
        return ""
