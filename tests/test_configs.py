"""The packaged configs: the schema's defaults, for people to read."""

import re
from pathlib import Path

import pytest
import yaml

from normexp.config.field import specs
from normexp.config.schema import KINDS, RECORDED, SECTIONS, packaged_configs

FILES = [
    (group, kind, cls)
    for group, kinds in KINDS.items()
    for kind, cls in kinds.items()
    if RECORDED.get(group) != kind  # which nobody types
]


@pytest.mark.parametrize(("group", "kind", "cls"), FILES, ids=str)
def test_a_groups_file_holds_every_field_at_its_default(group: str, kind: str, cls: type) -> None:
    """In the order of the schema, with a comment that says what it means."""
    text = (packaged_configs() / group / f"{kind}.yaml").read_text()

    assert list(yaml.safe_load(text).items()) == [
        (name, spec.default) for name, spec in specs(cls).items()
    ]
    assert all(re.search(rf"^# .+\n{name}:", text, re.MULTILINE) for name in specs(cls))


def test_the_root_holds_the_sections_at_their_defaults() -> None:
    """And the seed, with their meaning too."""
    text = (packaged_configs() / "config.yaml").read_text()
    values = yaml.safe_load(text)
    fields = ["seed", *(name for cls in SECTIONS.values() for name in specs(cls))]

    assert values.pop("seed") == 0
    values.pop("defaults")
    assert values == {
        section: {name: spec.default for name, spec in specs(cls).items()}
        for section, cls in SECTIONS.items()
    }
    assert all(re.search(rf"^ *# .+\n *{name}:", text, re.MULTILINE) for name in fields)


def test_every_choice_has_a_file_and_every_file_a_choice() -> None:
    """Studies are free to grow; the other groups are the schema's kinds."""
    found = {
        group.name: {path.stem for path in group.glob("*.yaml")}
        for group in Path(packaged_configs()).iterdir()
        if group.is_dir() and group.name != "study"
    }

    assert found == {group: set(kinds) - {RECORDED.get(group)} for group, kinds in KINDS.items()}
