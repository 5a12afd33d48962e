"""Access rights on Kafka: what each service may read and write, from `schemas/*/topic.yaml`.

A principal per service, and two for others: `operator` (people's tools: requests, dead letters) and `upstream`
(producers outside the platform). Everything that is not listed is denied.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from shlex import quote
from typing import Final, Literal

from modelyard_contracts import PredictionLogged
from modelyard_contracts.topics import TopicSpec, all_topics
from modelyard_runtime.kafka.dead_letters import dead_letter_topic

Kind = Literal["topic", "group", "transactional-id", "cluster"]
Operation = Literal["Read", "Write", "Create", "IdempotentWrite"]

STATEFUL: Final = ("registry", "trainer", "evaluator", "deployer")
SERVICES: Final = (*STATEFUL, "router", "monitor")
OPERATOR, UPSTREAM = "operator", "upstream"
OTHERS: Final = {"any": OPERATOR, "upstreams": UPSTREAM}
"""Writers in topic.yaml that are no service, and their principals."""
INTERNAL_TOPICS: Final = {"monitor": ("monitor.detect-models-changelog",)}
GROUP_PREFIXES: Final = {"monitor": "monitor.", "router": "router.spool."}
TRANSACTION_PREFIXES: Final = {"router": "router.spool.", **{name: f"modelyard.{name}.outbox." for name in STATEFUL}}


@dataclass(frozen=True, order=True)
class Acl:
    """One right, from any host. Read and Write include Describe."""

    principal: str
    kind: Kind
    name: str
    operation: Operation
    prefixed: bool = False
    """Whether `name` is the beginning of the names that are meant."""


def acls(topics: Iterable[TopicSpec] | None = None, principal: Callable[[str], str] = "User:{}".format) -> list[Acl]:
    """Return all rights, ordered. principal: from the name of a service to the principal that the broker sees."""
    specs = list(all_topics() if topics is None else topics)
    found = {*_topic_rights(specs), *_dead_letter_rights(specs), *_own_rights(), *_producer_rights()}
    return sorted(Acl(principal(a.principal), a.kind, a.name, a.operation, a.prefixed) for a in found)


def readers_of(spec: TopicSpec) -> set[str]:
    """Services that read a topic; `monitor.ingest` in topic.yaml is a part of the monitor."""
    return {reader.split(".")[0] for reader in spec.readers}


def writers_of(spec: TopicSpec) -> set[str]:
    return {OTHERS.get(writer, writer).split(".")[0] for writer in spec.writers}


def _topic_rights(specs: list[TopicSpec]) -> Iterator[Acl]:
    """A service may create the topics that it uses: the first one that starts does."""
    for spec in specs:
        readers, writers = readers_of(spec), writers_of(spec)
        yield from (Acl(name, "topic", spec.name, "Read") for name in readers)
        yield from (Acl(name, "topic", spec.name, "Write") for name in writers)
        yield from (Acl(name, "topic", spec.name, "Create") for name in (readers | writers) & set(SERVICES))


def _dead_letter_rights(specs: list[TopicSpec]) -> Iterator[Acl]:
    """A reader writes, lists and handles its dead letters; the operator sends them back to the topic they came from."""
    for spec in specs:
        for reader in readers_of(spec):
            letters = dead_letter_topic(spec.name, reader)
            yield Acl(reader, "topic", letters, "Write")
            yield Acl(reader, "topic", letters, "Create")
            yield Acl(reader, "topic", letters, "Read")
            yield Acl(reader, "group", f"{letters}.resend", "Read")
            yield Acl(OPERATOR, "topic", letters, "Read")
            yield Acl(OPERATOR, "group", f"{letters}.resend", "Read")
            yield Acl(OPERATOR, "topic", spec.name, "Write")


def _own_rights() -> Iterator[Acl]:
    """Consumer groups, transactional ids and internal topics."""
    yield from (Acl(name, "group", name, "Read") for name in STATEFUL)
    yield from (Acl(name, "group", prefix, "Read", True) for name, prefix in GROUP_PREFIXES.items())
    yield from (Acl(name, "transactional-id", prefix, "Write", True) for name, prefix in TRANSACTION_PREFIXES.items())
    for name, topics in INTERNAL_TOPICS.items():
        for topic in topics:
            yield from (Acl(name, "topic", topic, operation) for operation in ("Read", "Write", "Create"))
    # The spool's position is an offset of this topic, and Kafka asks for Read to commit one.
    yield Acl("router", "topic", PredictionLogged.TOPIC, "Read")


def _producer_rights() -> Iterator[Acl]:
    """Brokers before Kafka 3.0 ask for it; later ones derive it from Write."""
    for name in (*SERVICES, OPERATOR, UPSTREAM):
        yield Acl(name, "cluster", "kafka-cluster", "IdempotentWrite")


def documents(rights: Iterable[Acl]) -> list[dict[str, object]]:
    """The rights as JSON documents, for other tools."""
    fields = [asdict(right) for right in rights]
    return [
        {
            "principal": each["principal"],
            "resource_type": each["kind"],
            "resource_name": each["name"],
            "pattern_type": "prefixed" if each["prefixed"] else "literal",
            "operation": each["operation"],
            "permission": "Allow",
            "host": "*",
        }
        for each in fields
    ]


def commands(rights: Iterable[Acl], *, tool: str = "kafka-acls.sh") -> list[str]:
    """The rights as commands of Kafka's own tool, one per principal, kind and operations."""
    operations: dict[tuple[str, Kind, bool, str], list[Operation]] = {}
    for right in rights:
        operations.setdefault((right.principal, right.kind, right.prefixed, right.name), []).append(right.operation)
    rows = sorted((who, kind, prefixed, sorted(ops), name) for (who, kind, prefixed, name), ops in operations.items())
    return [
        _command(tool, *first, [row[-1] for row in group])
        for first, group in groupby(rows, key=lambda row: (row[0], row[1], row[2], row[3]))
    ]


def _command(
    tool: str, principal: str, kind: Kind, prefixed: bool, operations: list[Operation], names: list[str]
) -> str:
    words = [tool, "--bootstrap-server", '"$KAFKA_BOOTSTRAP_SERVERS"', "--command-config", '"$KAFKA_ADMIN_PROPERTIES"']
    words += ["--add", "--allow-principal", quote(principal)]
    words += [word for operation in operations for word in ("--operation", operation)]
    words += ["--cluster"] if kind == "cluster" else [word for name in names for word in (f"--{kind}", quote(name))]
    words += ["--resource-pattern-type", "prefixed"] if prefixed else []
    return " ".join(words)
