"""The rights follow from schemas/*/topic.yaml, and topic.yaml from what the services read."""

import pytest

from modelyard_contracts.topics import TopicSpec, all_topics
from modelyard_deployer.events.handlers import USE_CASES
from modelyard_evaluator.events.handlers import handlers as evaluator_handlers
from modelyard_monitor.ingest.control_events import control_topics
from modelyard_registry.events import handlers as registry_handlers
from modelyard_runtime.kafka.acls import OPERATOR, SERVICES, UPSTREAM, Acl, acls, commands, documents, readers_of
from modelyard_trainer.events.handlers import handlers as trainer_handlers

NOTHING = None
RIGHTS = frozenset(acls())
READ = {
    "registry": {message.TOPIC for message in registry_handlers(NOTHING)},  # type: ignore[arg-type]
    "trainer": {message.TOPIC for message in trainer_handlers(NOTHING)},  # type: ignore[arg-type]
    "evaluator": {message.TOPIC for message in evaluator_handlers(NOTHING, lambda: None)},  # type: ignore[arg-type]
    "deployer": {message.TOPIC for message in USE_CASES},
    "router": {"deployment.route.published.v1"},
    "monitor": {
        "serving.prediction.logged.v1",
        "serving.generation.logged.v1",
        "serving.feedback.received.v1",
        "monitoring.slice.summarised.v1",
        *control_topics(),
    },
}


@pytest.mark.parametrize("service", SERVICES)
def test_topic_yaml_names_a_service_as_reader_exactly_of_what_it_reads(service: str) -> None:
    assert {spec.name for spec in all_topics() if service in readers_of(spec)} == READ[service]


def may(principal: str, operation: str, kind: str, name: str) -> bool:
    """Whether the rights allow it, as Kafka decides: by name, or by the beginning of a name."""
    return any(
        (right.principal, right.kind, right.operation) == (f"User:{principal}", kind, operation)
        and (name.startswith(right.name) if right.prefixed else name == right.name)
        for right in RIGHTS
    )


@pytest.mark.parametrize("spec", all_topics(), ids=lambda spec: spec.name)
def test_only_the_writers_of_a_topic_and_the_operator_may_write_it(spec: TopicSpec) -> None:
    named = {writer.split(".")[0] for writer in spec.writers}
    allowed = {UPSTREAM if name == "upstreams" else OPERATOR if name == "any" else name for name in named}
    principals = (*SERVICES, OPERATOR, UPSTREAM)
    assert {name for name in principals if may(name, "Write", "topic", spec.name)} <= allowed | {OPERATOR}
    assert all(may(name, "Write", "topic", spec.name) for name in allowed)


def test_no_producer_outside_the_platform_writes_a_topic_that_moves_traffic_or_starts_runs() -> None:
    topics = {right.name for right in RIGHTS if right.principal == f"User:{UPSTREAM}" and right.kind == "topic"}
    assert topics == {"serving.prediction.logged.v1", "serving.generation.logged.v1", "serving.feedback.received.v1"}


def test_groups_and_transactional_ids_are_a_services_own() -> None:
    assert may("deployer", "Read", "group", "deployer")
    assert not may("trainer", "Read", "group", "deployer")
    assert may("monitor", "Read", "group", "monitor.detect")
    assert may("router", "Write", "transactional-id", "router.spool.router-1")
    assert not may("trainer", "Write", "transactional-id", "modelyard.deployer.outbox.abc")


def test_a_new_topic_brings_its_rights() -> None:
    spec = all_topics()[0].model_copy(update={"name": "new.thing.made.v1", "writers": ("trainer",), "readers": ()})
    assert Acl("User:trainer", "topic", "new.thing.made.v1", "Write") in acls([spec])
    assert not any(right.name == "new.thing.made.v1" for right in RIGHTS)


def test_the_commands_add_every_right_once() -> None:
    lines = commands(acls())
    names = ("--topic", "--group", "--transactional-id", "--cluster")
    words = [line.split() for line in lines]
    count = sum(each.count("--operation") * sum(each.count(name) for name in names) for each in words)
    assert count == len(RIGHTS) == len(documents(acls()))
    assert len(lines) == len(set(lines))


def test_principals_may_be_named_by_their_certificates() -> None:
    assert {right.principal for right in acls(principal="User:CN={}".format)} == {
        f"User:CN={name}" for name in (*SERVICES, OPERATOR, UPSTREAM)
    }
