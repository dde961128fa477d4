"""Identity: what names a run, and what does not."""

from dataclasses import fields, replace

import pytest

import normexp
from normexp.config.field import Role, Scalar, specs
from normexp.config.identity import run_id, stack_key, trajectory_id
from normexp.config.schema import KINDS, SECTIONS, RunConfig
from normexp.study.run import Run

CLASSES = [
    *((group, cls) for group, kinds in KINDS.items() for cls in kinds.values()),
    *SECTIONS.items(),
]


def only(*overrides: str) -> Run:
    """Return the one run of these overrides."""
    (run,) = normexp.load("~norm.momentum", "seed=0", *overrides).runs
    return run


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ("norm=none", ("f1da5b7ec68e", "467f228de3ca", "93e258a274d9")),
        ("norm=batch norm.momentum=0.1", ("ece480cd427f", "eb27562134e9", "82b13eac8f5e")),
        (
            "norm=batch norm.momentum=null optim.lr=0.003 seed=7",
            ("b0f3fb228d9c", "443c771a7cd5", "82b13eac8f5e"),
        ),
        ("data=digits model=lenet norm=group", ("fc230ca5e6e4", "60bff5656b2b", "2febc9159fa9")),
        (
            "data=drift norm=ghost norm.momentum=0.1 optim=sgd",
            ("83b82b2b0711", "a2ebba2925d0", "f3bd3bf037c0"),
        ),
        (
            "data=digits model=resnet norm=batch_renorm norm.momentum=0.1",
            ("9ebab7d50454", "044859368a20", "5a4bfa63b435"),
        ),
    ],
)
def test_ids_are_pinned(typed: str, ids: tuple[str, str, str]) -> None:
    """A change of these literals renames everybody's results: it must be meant."""
    config = only(*typed.split()).config

    assert (run_id(config), trajectory_id(config), stack_key(config)) == ids


def test_every_field_has_a_role() -> None:
    """The planner groups by role alone, so a field without one would be lost."""
    for _, cls in CLASSES:
        assert [field.name for field in fields(cls)] == list(specs(cls))
    assert list(specs(RunConfig)) == ["seed"]
    assert specs(RunConfig)["seed"].rule.role is Role.STACKABLE


CHANGED_IDS = {
    Role.STRUCTURAL: ["run", "trajectory", "stack"],
    Role.STACKABLE: ["run", "trajectory"],
    Role.OBSERVED: ["run"],
    Role.RUNTIME: [],
}


@pytest.mark.parametrize(("group", "cls"), CLASSES)
def test_a_field_changes_the_ids_of_its_role(group: str, cls: type) -> None:
    """Structural: all three; stackable: run and trajectory; observed: the run's; runtime: none."""
    base = replace(only("norm=batch").config, **{group: cls()})
    identities = {"run": run_id, "trajectory": trajectory_id, "stack": stack_key}
    for name, spec in specs(cls).items():
        if name == "kind":
            continue
        changed = replace(cls(), **{name: another(getattr(cls(), name), spec.type, spec.choices)})
        other = replace(base, **{group: changed})
        differing = [what for what, of in identities.items() if of(base) != of(other)]

        assert differing == CHANGED_IDS[spec.rule.role], name


def another(value: Scalar, kind: type, choices: tuple[str, ...]) -> Scalar:
    """Return another value of the same type."""
    if choices:
        return next(choice for choice in choices if choice != value)
    if value is None or isinstance(value, str):
        examples: dict[type, Scalar] = {bool: True, int: 7, float: 0.7, str: "seven"}
        return examples[kind]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2 or 0.5


KERAS = "norm.convention=keras norm.momentum"
SAME = [
    (f"{KERAS}=0.9", "norm.momentum=0.1"),
    (f"{KERAS}=0.99", "norm.momentum=0.01"),
    (f"{KERAS}=0.7", "norm.momentum=0.3"),
    (f"{KERAS}=null", "norm.momentum=null"),
    (
        f"{KERAS}=0.5 norm.final_momentum=0.9 norm.momentum_schedule=cosine",
        "norm.momentum=0.5 norm.final_momentum=0.1 norm.momentum_schedule=cosine",
    ),
    ("model.width=10 optim.beta1=0.9 model.input_norm=true", ""),
    ("norm.estimator=cumulative norm.momentum=0.3", "norm.momentum=null"),
    ("norm.estimator=debiased norm.momentum=0", "norm.momentum=null"),
    ("norm.estimator=warmup norm.momentum=null", "norm.momentum=null"),
    ("norm.estimator=window norm.momentum=0.3", "norm.estimator=window norm.momentum=0.1"),
    ("norm.estimator=precise norm.initial_var=0", "norm.estimator=precise"),
    ("norm.momentum=0.3 norm.final_momentum=0.2", "norm.momentum=0.3"),
    ("norm.momentum=0.3 norm.window=7 norm.mix=0.1", "norm.momentum=0.3"),
    ("norm.estimator=divided norm.momentum=1", "norm.momentum=1"),
    ("norm.estimator=warmup norm.momentum=1", "norm.momentum=1"),
    ("norm.estimator=window norm.window=1", "norm.momentum=1"),
    ("norm.estimator=window norm.window=1 norm.momentum_schedule=cosine", "norm.momentum=1"),
    ("norm.estimator=mixed norm.mix=0 norm.momentum=0.3", "norm.momentum=0.3"),
    ("norm.estimator=mixed norm.mix=1", "norm.estimator=test_batch"),
    (
        "norm.momentum=0.3 norm.final_momentum=0.3 norm.momentum_schedule=cosine",
        "norm.momentum=0.3",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_type_a_run_are_one_run(one: str, other: str) -> None:
    """Keras's momentum, a default typed out, what an estimator does not read.

    0.9 as the weight of the old value is PyTorch's 0.1 to the last bit.
    """
    runs = [only("norm=batch", *typed.split()) for typed in (one, other)]

    assert runs[0].id == runs[1].id
    assert runs[0].flat["norm.convention"] == "torch"
