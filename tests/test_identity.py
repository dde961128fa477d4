"""Identity: what names a run, and what does not."""

from dataclasses import fields, replace

import pytest

import normexp
from normexp.config.field import FieldSpec, Role, Scalar, specs
from normexp.config.identity import run_id, stack_key, trajectory_id
from normexp.config.schema import IDENTITY_GROUPS, KINDS, SECTIONS, RunConfig
from normexp.study.run import Run

SECTION_CLASSES = [*(cls for kinds in KINDS.values() for cls in kinds.values()), *SECTIONS.values()]


def only(*overrides: str) -> Run:
    """The one run of these overrides."""
    (run,) = normexp.load("~norm.momentum", "seed=0", *overrides).runs
    return run


@pytest.mark.parametrize(
    ("overrides", "ids"),
    [
        (["norm=none"], ("f1da5b7ec68e", "467f228de3ca", "93e258a274d9")),
        (["norm=batch", "norm.momentum=0.1"], ("ece480cd427f", "eb27562134e9", "82b13eac8f5e")),
        (
            ["norm=batch", "norm.momentum=null", "optim.lr=0.003", "seed=7"],
            ("b0f3fb228d9c", "443c771a7cd5", "82b13eac8f5e"),
        ),
        (
            ["data=digits", "model=lenet", "norm=group"],
            ("fc230ca5e6e4", "60bff5656b2b", "2febc9159fa9"),
        ),
        (
            ["data=drift", "norm=ghost", "norm.momentum=0.1", "optim=sgd"],
            ("83b82b2b0711", "a2ebba2925d0", "f3bd3bf037c0"),
        ),
        (
            ["data=digits", "model=resnet", "norm=batch_renorm", "norm.momentum=0.1"],
            ("9ebab7d50454", "044859368a20", "5a4bfa63b435"),
        ),
    ],
)
def test_ids_are_pinned(overrides: list[str], ids: tuple[str, str, str]) -> None:
    """A change of these literals renames everybody's results: it must be meant."""
    config = only(*overrides).config

    assert (run_id(config), trajectory_id(config), stack_key(config)) == ids


@pytest.mark.parametrize("section", SECTION_CLASSES)
def test_every_field_has_a_role(section: type) -> None:
    """The planner groups by role alone, so a field without one would be lost."""
    declared = specs(section)

    assert [field.name for field in fields(section)] == list(declared)
    assert all(spec.rule.role in list(Role) for spec in declared.values())


@pytest.mark.parametrize(
    "runtime", ["log.every=3", "store.dir=elsewhere", "executor.workers=1", "executor.stack_size=5"]
)
def test_a_runtime_field_changes_no_id(runtime: str) -> None:
    """Where and how densely is no part of what."""
    assert only(runtime, "norm=batch").id == only("norm=batch").id


FIELDS = [
    (group, cls, field)
    for group in (*IDENTITY_GROUPS, "train")
    for cls in (KINDS[group].values() if group in KINDS else [SECTIONS[group]])
    for field, spec in specs(cls).items()
    if field != "kind" and spec.rule.role is not Role.RUNTIME
]
CHANGED_IDS = {
    Role.STRUCTURAL: ["run", "trajectory", "stack"],
    Role.STACKABLE: ["run", "trajectory"],
    Role.OBSERVED: ["run"],
}


@pytest.mark.parametrize(("group", "cls", "field"), FIELDS)
def test_a_field_changes_the_ids_of_its_role(group: str, cls: type, field: str) -> None:
    """Structural: all three; stackable: run and trajectory; observed: the run's alone."""
    base = replace(only("norm=batch").config, **{group: cls()})
    section = getattr(base, group)
    spec = specs(cls)[field]
    changed = replace(base, **{group: replace(section, **{field: another(spec, section)})})
    identities = {"run": run_id, "trajectory": trajectory_id, "stack": stack_key}
    differing = [what for what, name_of in identities.items() if name_of(base) != name_of(changed)]

    assert differing == CHANGED_IDS[spec.rule.role]


def another(spec: FieldSpec, section: object) -> Scalar:
    """Another value of the same type."""
    value = getattr(section, spec.name)
    if spec.choices:
        return next(choice for choice in spec.choices if choice != value)
    if value is None:
        values: dict[type, Scalar] = {bool: True, int: 7, float: 0.7, str: "seven"}
        return values[spec.type]
    if isinstance(value, bool):
        return not value
    assert isinstance(value, int | float)
    return value + 1 if isinstance(value, int) else value / 2 or 0.5


@pytest.mark.parametrize("spelling", ["0.1", "0.10", ".1", "1e-1", "'0.1'"])
def test_the_spelling_of_a_number_is_no_matter(spelling: str) -> None:
    """Unless it is quoted: a text is not a number, and is refused."""
    typed = f"norm.momentum={spelling}"
    if spelling == "'0.1'":
        with pytest.raises(normexp.NormexpError, match="a number from 0 to 1"):
            only("norm=batch", typed)
    else:
        assert only("norm=batch", typed).id == only("norm=batch", "norm.momentum=0.1").id


def test_kerass_momentum_names_the_same_run() -> None:
    """Typed as the weight of the old value, 0.9 is PyTorch's 0.1 to the last bit."""
    for keras, torch in (("0.9", "0.1"), ("0.99", "0.01"), ("0.7", "0.3"), ("null", "null")):
        typed = only("norm=batch", "norm.convention=keras", f"norm.momentum={keras}")
        assert typed.id == only("norm=batch", f"norm.momentum={torch}").id
        assert typed.config.norm.convention == "torch"  # type: ignore[union-attr]


def test_the_full_configuration_is_what_counts() -> None:
    """A default typed out is the same run; the study's YAML and the schema agree with it."""
    typed = only("norm=batch", "model.width=10", "optim.beta1=0.9", "model.input_norm=true")

    assert typed.id == only("norm=batch").id


def test_the_root_has_a_role_for_its_own_fields() -> None:
    """The seed, which stands outside of all sections."""
    assert list(specs(RunConfig)) == ["seed"]
    assert specs(RunConfig)["seed"].rule.role is Role.STACKABLE


@pytest.mark.parametrize(
    ("one", "other"),
    [
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
        ("norm.estimator=mixed norm.mix=0 norm.momentum=0.3", "norm.momentum=0.3"),
        ("norm.estimator=mixed norm.mix=1", "norm.estimator=test_batch"),
        (
            "norm.momentum=0.3 norm.final_momentum=0.3 norm.momentum_schedule=cosine",
            "norm.momentum=0.3",
        ),
    ],
)
def test_what_an_estimator_does_not_read_names_no_run(one: str, other: str) -> None:
    """One run, however it is typed."""
    ids = [only("norm=batch", *typed.split()).id for typed in (one, other)]

    assert ids[0] == ids[1]


def test_the_final_momentum_is_typed_in_kerass_convention_too() -> None:
    """As the weight of the old value."""
    keras = ["norm.convention=keras", "norm.momentum=0.5", "norm.final_momentum=0.9"]
    torchs = ["norm.momentum=0.5", "norm.final_momentum=0.1"]
    names = {
        only("norm=batch", "norm.momentum_schedule=cosine", *typed).id for typed in (keras, torchs)
    }

    assert len(names) == 1
