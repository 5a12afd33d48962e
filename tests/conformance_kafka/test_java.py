"""Kafka's own tools as an independent client. Needs KAFKA_HOME (the jars) and java."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .kit import Kit

JAVA, HOME = shutil.which("java"), os.environ.get("KAFKA_HOME")
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (JAVA and HOME), reason="needs KAFKA_HOME and java"),
]
OPTIONS = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Tools:
    """Run a class of the distribution; returns its output."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def run(self, tool: str, *arguments: str, server: bool = True) -> str:
        assert JAVA is not None and HOME is not None
        command = [JAVA, *OPTIONS, "-cp", f"{Path(HOME)}/libs/*", f"org.apache.kafka.tools.{tool}"]
        command += ["--bootstrap-server", self._bootstrap] if server else []
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def tools(kit: Kit) -> Tools:
    return Tools(kit.bootstrap)


def test_topics_are_created_with_the_brokers_defaults_and_changed(kit: Kit, tools: Tools) -> None:
    name = kit.unique("topic")
    tools.run("TopicCommand", "--create", "--topic", name)
    assert "PartitionCount: 1" in tools.run("TopicCommand", "--describe", "--topic", name)
    tools.run("TopicCommand", "--alter", "--topic", name, "--partitions", "3")
    assert "PartitionCount: 3" in tools.run("TopicCommand", "--describe", "--topic", name)
    tools.run("TopicCommand", "--delete", "--topic", name)
    assert name not in tools.run("TopicCommand", "--list").split()


async def test_produce_consume_and_describe_the_group(kit: Kit, tools: Tools) -> None:
    topic, group = await kit.topic(2), kit.unique("group")
    produced = tools.run("VerifiableProducer", "--topic", topic, "--max-messages", "500")
    assert '"acked":500' in produced
    read = tools.run(
        "consumer.ConsoleConsumer", "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "500",
        "--timeout-ms", "60000",
    )  # fmt: skip
    assert sorted(map(int, read.split())) == list(range(500))
    described = tools.run("consumer.group.ConsumerGroupCommand", "--describe", "--group", group)
    rows = [line.split() for line in described.splitlines() if line.startswith(group)]
    assert sum(int(row[3]) for row in rows) == 500
    assert group in tools.run("consumer.group.ConsumerGroupCommand", "--list").split()
    tools.run("consumer.group.ConsumerGroupCommand", "--delete", "--group", group)
    assert group not in tools.run("consumer.group.ConsumerGroupCommand", "--list").split()


async def test_transactions(kit: Kit, tools: Tools) -> None:
    topic = await kit.topic(3)
    done = tools.run(
        "ProducerPerformance", "--topic", topic, "--num-records", "20000", "--record-size", "100", "--throughput", "-1",
        "--transactional-id", kit.unique("tx"), "--transaction-duration-ms", "100",
        "--producer-props", f"bootstrap.servers={kit.bootstrap}", "acks=all", server=False,
    )  # fmt: skip
    assert "20000 records sent" in done
    assert len(await kit.all_of(topic, seconds=60)) == 20_000
