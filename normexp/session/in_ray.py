"""A sweep's stacks in a Ray cluster: a task each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from normexp.planning.plan import Plan, Stack
from normexp.session.progress import Progress

if TYPE_CHECKING:
    from normexp.session.work import Done, Worker


def in_ray(
    plan: Plan, worker: "Worker", progress: Progress
) -> Iterator[tuple[Stack, "Done | Exception"]]:
    """Send the stacks and follow them until every one has ended."""
    raise NotImplementedError
