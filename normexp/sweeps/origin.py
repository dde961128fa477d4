"""The provenance of runs: the part of their manifests beyond results and digests."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from normexp.config.identity import SCHEMA_VERSION
from normexp.config.schema import KINDS, PLACES, RunConfig, number_of_parts
from normexp.store.layout import ID_LENGTH
from normexp.store.run import Provenance
from normexp.study.compose import packaged_configs
from normexp.study.run import Run
from normexp.study.study import Study
from normexp.theory.memory import half_life

ELSEWHERE = {"executor": next(iter(KINDS["executor"]))}
"""Said of every run, wherever it was computed: that is no part of what it is."""


@dataclass(frozen=True)
class Origin:
    """The provenance that the runs of a sweep share.

    Args:
        study: that they are of; its runs are not needed.
        environment: that they are made in.
    """

    study: Study
    environment: Mapping[str, Any]

    def head(self, kind: str) -> dict[str, Any]:
        """The beginning of every manifest."""
        return {
            "kind": kind,
            "schema": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": self.environment,
        }

    def of(
        self, run: Run, config: RunConfig, place: Path, training: Mapping[str, Any]
    ) -> Provenance:
        """The provenance of one run.

        Args:
            run: which.
            config: its configuration, logged as densely as its tables are.
            place: its directory.
            training: entries about its training.
        """
        overrides = self.study.command(config, run.base.choices)
        return Provenance(
            overrides=[each for each in overrides if not each.startswith(PLACES)],
            choices={**run.base.choices, **ELSEWHERE},
            hydra_version=str(self.environment["hydra-core"]),
            manifest=self.head("run")
            | {
                "run_id": run.id,
                "trajectory_id": run.trajectory_id,
                "study": self.study.name,
                "label": place.name[: -ID_LENGTH - 1],
                "half_life_steps": _half_life(config),
                "log_every": config.log.every,
                "command": f"{self._command} {shlex.join(overrides)}",
                **training,
            },
        )

    @cached_property
    def _command(self) -> str:
        """The beginning of a command line for a shell, from any directory.

        Every field is in what follows; a study may be in no other place than it is.
        """
        study, own = self.study, self.study.config_dir
        packaged = (packaged_configs() / "study" / f"{study.base or study.name}.yaml").is_file()
        place = [] if packaged or own is None else ["--config-dir", str(own.resolve())]
        return shlex.join(["normexp", "sweep", *place, *study.filed])


def _half_life(config: RunConfig) -> float | None:
    """In steps, if momentum stays; of ghost norm, with several updates a step, a part of one."""
    if getattr(config.norm, "momentum_schedule", "constant") != "constant":
        return None
    updates = half_life(getattr(config.norm, "momentum", None))
    return None if updates is None else updates / number_of_parts(config, config.train.batch_size)
