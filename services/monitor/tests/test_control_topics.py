"""The monitor may read every topic whose events it keeps."""

from modelyard_contracts.topics import topic
from modelyard_monitor.ingest.control_events import control_topics
from modelyard_runtime.kafka.acls import readers_of


def test_every_topic_of_events_names_the_monitor_as_a_reader() -> None:
    """Rights on Kafka follow from the readers: one topic without the right keeps the whole group from reading."""
    assert [name for name in control_topics() if "monitor" not in readers_of(topic(name))] == []
