"""Policies as forms: every setting is a field, what is typed becomes the policy, mistakes name their field."""

from typing import Any

import pytest

from modelyard_console.domain.policy_forms import filled, settings_of
from modelyard_console.domain.policy_sections import OTHER, sections_of
from modelyard_contracts.policies import POLICIES, RetrainPolicy, RolloutPolicy


def typed(kind: str, document: dict[str, Any], **changes: str) -> dict[str, str]:
    """What a browser sends when a person changes these fields: a checkbox that is off is not sent."""
    values = {one.path: one.value for one in settings_of(kind, document) if one.kind != "checkbox" or one.value}
    return {**values, **{name.replace("__", "."): value for name, value in changes.items()}}


@pytest.mark.parametrize("kind", POLICIES)
def test_a_form_that_is_sent_unchanged_is_the_same_policy(kind: str) -> None:
    document = POLICIES[kind]().model_dump(mode="json")
    assert filled(kind, typed(kind, document), document).policy == POLICIES[kind]()


@pytest.mark.parametrize("kind", POLICIES)
def test_every_setting_says_what_it_means_where_its_class_does(kind: str) -> None:
    notes = {one.path: one.help for one in settings_of(kind, {})}
    assert sum(bool(note) for note in notes.values()) >= len(notes) / 2
    assert not any("`" in note for note in notes.values())


def test_numbers_choices_lists_and_nested_settings_are_read() -> None:
    document = RolloutPolicy().model_dump(mode="json")
    changed = typed("rollout", document, strategy="adaptive", steps_percent="10, 60, 100", adaptive__members="7")
    policy = filled("rollout", changed, document).policy
    assert (policy.strategy, policy.steps_percent, policy.adaptive.members) == ("adaptive", (10, 60, 100), 7)


def test_a_checkbox_that_is_off_and_an_empty_list_are_read() -> None:
    document = RetrainPolicy(online=("forest",)).model_dump(mode="json")
    values = {name: value for name, value in typed("retrain", document, online="").items() if name != "enabled"}
    policy = filled("retrain", values, document).policy
    assert (policy.enabled, policy.online) == (False, ())


@pytest.mark.parametrize(
    ("kind", "field", "text"),
    [("gate", "min_rows", "12"), ("gate", "confidence", "much"), ("rollout", "adaptive.members", "1")],
)
def test_a_mistake_names_its_field(kind: str, field: str, text: str) -> None:
    document = POLICIES[kind]().model_dump(mode="json")
    found = filled(kind, {**typed(kind, document), field: text}, document)
    assert found.policy is None
    assert found.errors is not None
    assert list(found.errors) == [field]


def test_a_setting_of_a_newer_release_is_named_instead_of_lost() -> None:
    document = {**POLICIES["gate"]().model_dump(mode="json"), "colour": "red"}
    found = filled("gate", typed("gate", document), document)
    assert found.policy is None
    assert found.errors is not None
    assert list(found.errors) == ["colour"]


@pytest.mark.parametrize("kind", POLICIES)
def test_every_setting_is_under_one_heading(kind: str) -> None:
    settings = settings_of(kind, {})
    sections = sections_of(kind, settings)
    placed = [one.path for section in sections for one in section.settings]
    assert sorted(placed) == sorted(one.path for one in settings)
    assert OTHER not in [section.title for section in sections], "give the new setting a heading in SECTIONS"


def test_sections_with_changes_or_mistakes_are_open_and_the_rest_is_folded() -> None:
    settings = settings_of("gate", {"min_rows": 400})
    found = {one.title: one for one in sections_of("gate", settings, {"max_open_s"})}
    assert [title for title, one in found.items() if one.open] == [
        *("Who decides", "Rows and certainty", "While the comparison is open"),
    ]
    assert found["Rows and certainty"].changed == ["min rows"]


def test_labels_name_their_unit() -> None:
    labels = {one.path: one.label for one in settings_of("rollout", {})}
    assert (labels["timeout_ms"], labels["min_step_s"]) == ("timeout (milliseconds)", "min step (seconds)")
    assert labels["steps_percent"] == "steps (percent)"
