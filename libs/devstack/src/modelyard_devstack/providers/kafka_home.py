"""A real Kafka from a distribution: one KRaft node on loopback, as a child process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from modelyard_devstack.ports import free_port, port_is_free
from modelyard_devstack.providers import ProviderError
from modelyard_devstack.providers.process import Child

CLUSTER_ID: Final = "MkU3OEVBNTcwNTJENDM2Qk"
FORMAT_TIMEOUT_S: Final = 60.0
START_TIMEOUT_S: Final = 120.0  # after kill -9 it checks every partition's log
JVM_OPTIONS: Final = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}/log
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=4194304
"""
LOG4J2: Final = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
"""
LOG4J: Final = """\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


def start_kraft(home: str, data_dir: Path, port: int, environ: Mapping[str, str]) -> tuple[str, Child]:
    """Bootstrap address and process of a broker that is ready. Only `home`/libs/*.jar is needed of a distribution.

    Raises ProviderError that names KAFKA_HOME, java or the port.
    """
    _java(home, environ)
    data = data_dir.resolve()
    port = port or free_port()
    if not port_is_free(port):
        raise ProviderError(f"port {port} for Kafka is in use: choose another one or 0")
    properties = PROPERTIES.format(port=port, controller=free_port(), data=data)
    return f"127.0.0.1:{port}", start_node(home, data, properties, environ)


def start_node(
    home: str, data: Path, properties: str, environ: Mapping[str, str], format_options: Sequence[str] = ()
) -> Child:
    """Process of a node with these properties, ready; its storage in `data`/log is formatted if it is new."""
    data.mkdir(parents=True, exist_ok=True)
    file = data / "server.properties"
    file.write_text(properties)
    (data / "log4j2.properties").write_text(LOG4J2)  # Kafka 4
    (data / "log4j.properties").write_text(LOG4J)  # Kafka 3
    command = [_java(home, environ), *JVM_OPTIONS, f"-Dlog4j2.configurationFile={data}/log4j2.properties"]
    command += [f"-Dkafka.logs.dir={data}", f"-Dlog4j.configuration=file:{data}/log4j.properties"]
    command += ["-cp", f"{Path(home).resolve()}/libs/*"]
    if not (data / "log" / "meta.properties").exists():
        tool = [*command, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(file), *format_options]
        Child(tool, data / "format.log", environ).wait(FORMAT_TIMEOUT_S, "formatting Kafka's storage")
    child = Child([*command, "kafka.Kafka", str(file)], data / "kafka.log", environ)
    child.wait_for("Kafka Server started", START_TIMEOUT_S, f"the Kafka of {home}")
    return child


def _java(home: str, environ: Mapping[str, str]) -> str:
    if not list(Path(home).glob("libs/kafka_2.1*-*.jar")):
        raise ProviderError(f"KAFKA_HOME={home}: there is no libs/kafka_2.13-*.jar. Correct it, or unset it.")
    own = environ.get("JAVA_HOME")
    java = str(Path(own) / "bin" / "java") if own else shutil.which("java", path=environ.get("PATH"))
    if java is None or not Path(java).exists():
        raise ProviderError(
            "KAFKA_HOME needs java 17 or newer on PATH or in JAVA_HOME. Install it, or unset KAFKA_HOME."
        )
    return java
