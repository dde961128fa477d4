"""What came of a sweep, from what is in the store and what the rounds tell."""

from collections.abc import Iterator

from normexp.store.layout import StudyDirectory, holds
from normexp.store.rows import row
from normexp.store.sweep import SweepDirectory, planned
from normexp.sweeps.elsewhere import has_news
from normexp.sweeps.in_slurm import jobs
from normexp.sweeps.inventory import Standard
from normexp.sweeps.plan import Plan, Stack
from normexp.sweeps.result import SweepResult, describe, outdated, plan_numbers
from normexp.sweeps.rounds import Tally


def sum_up(
    plan: Plan, place: SweepDirectory, tally: Tally, standard: Standard, seconds: float
) -> SweepResult:
    """The rows of all complete runs of the study, and which are not as they were asked for."""
    ids, log = [run.id for run in plan.study.runs], plan.study.runs[0].config.log
    rows, done = [], set()
    for name, path, manifest in place.study.intact_runs(ids):
        rows.append(row(manifest, path))
        if holds(manifest, log) and standard.accepts(manifest):
            done.add(name)
    return SweepResult(
        plan=plan,
        planned=plan_numbers(plan) | (planned(place.path) if has_news(place) else {}),
        directory=place.path,
        trained=tally.trained,
        observed=tally.observed,
        rows=rows,
        failed=[name for name in ids if name not in done],
        errors=list(_errors(tally)),
        warnings=[*_warnings(plan), *tally.notes],
        seconds=seconds,
        jobs=jobs(place),
    )


def _errors(tally: Tally) -> Iterator[str]:
    """What went wrong, a line each: where several stacks raised the same, once."""
    by_text: dict[str, list[Stack]] = {}
    for stack, error in tally.broken:
        by_text.setdefault(describe(error), []).append(stack)
    for text, stacks in by_text.items():
        runs = sum(stack.runs for stack in stacks)
        which = f"stack {stacks[0].key}" if len(stacks) == 1 else f"{len(stacks)} stacks"
        yield f"{which} ({runs} runs): {text}"


def how_to_go_on(result: SweepResult, directory: StudyDirectory) -> tuple[str, str]:
    """What an interrupted sweep says."""
    runs = result.plan.study.runs
    kept = {run.trajectory_id for run in runs if directory.checkpoint(run.trajectory_id).exists()}
    go_on = "training goes on" if len(kept) == 1 else "trainings go on"
    on = f"; {len(kept)} {go_on} from an evaluation point" if kept else ""
    return (
        f"{len(runs) - len(result.failed)} of {len(runs)} runs are stored{on}",
        "type the same command again: it makes what is missing",
    )


def _warnings(plan: Plan) -> list[str]:
    """What makes the numbers less than promised."""
    found = list(outdated(plan))
    if plan.stacks:
        from normexp.engine.numerics import company_matters

        if company_matters():
            found.append(
                "the last bits of these runs may depend on what trained beside them: PyTorch's "
                "matrix products do here; import normexp before torch is used"
            )
    return found
