"""Topics: names, partitions, configuration. Metadata is in the journal, records are in the partitions."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from modelyard_devkafka import configs
from modelyard_devkafka.configs import TopicConfig
from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.storage.compaction import recover
from modelyard_devkafka.storage.journal import Journal
from modelyard_devkafka.storage.partition import Partition

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
DEFAULT_PARTITIONS: Final = 1
MAX_PARTITIONS: Final = 10_000


def check_name(name: str | None) -> str:
    """Raises Refused (INVALID_TOPIC) unless Kafka accepts the name."""
    if not name or name in (".", "..") or not _NAME.fullmatch(name):
        raise Refused(Code.INVALID_TOPIC, f"topic name {name!r}: 1 to 249 of A-Z a-z 0-9 . _ - and not . or ..")
    return name


class Topic:
    """A topic; one that is deleted and created again has another id and folder."""

    def __init__(self, name: str, folder: Path, config: TopicConfig) -> None:
        self.name, self.folder, self.config = name, folder, config
        self.partitions: list[Partition] = []

    def grow(self, count: int, log_start: Callable[[int], int]) -> None:
        for index in range(len(self.partitions), count):
            self.partitions.append(Partition(self.folder / str(index), self.config, log_start(index)))


class Topics:
    """All topics. A change is in the journal before it becomes visible."""

    def __init__(self, journal: Journal, root: Path) -> None:
        self._journal, self._root = journal, root
        self._topics: dict[str, Topic] = {}
        self.on_delete: list[Callable[[str], None]] = []

    def load(self) -> None:
        """Load all topics at the start; remove folders of deleted ones."""
        for (_, name), fact in self._journal.items("topic"):
            topic = self._opened(str(name), fact["folder"], fact["configs"], fact["partitions"])
            for partition in topic.partitions:
                recover(partition.folder)
                partition.load()
        known = {topic.folder for topic in self._topics.values()}
        for folder in self._root.iterdir() if self._root.exists() else ():
            if folder not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _opened(self, name: str, folder: str, own: Mapping[str, str], count: int) -> Topic:
        topic = self._topics[name] = Topic(name, self._root / folder, TopicConfig(own))
        topic.grow(count, lambda index: int(self._journal.get("start", folder, index) or 0))
        return topic

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._topics.values()))

    def get(self, name: str) -> Topic:
        """Raises Refused (UNKNOWN_TOPIC_OR_PARTITION)."""
        topic = self._topics.get(name)
        if topic is None:
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION, f"This server does not host topic {name}")
        return topic

    def partition(self, name: str, index: int) -> Partition:
        """Raises Refused (UNKNOWN_TOPIC_OR_PARTITION)."""
        partitions = self.get(name).partitions
        if not 0 <= index < len(partitions):
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION, f"topic {name} has no partition {index}")
        return partitions[index]

    def exists(self, name: str, index: int) -> bool:
        topic = self._topics.get(name)
        return topic is not None and 0 <= index < len(topic.partitions)

    def create(self, name: str, partitions: int, own: Mapping[str, str | None], *, validate_only: bool) -> None:
        """Raises Refused."""
        check_name(name)
        if name in self._topics:
            raise Refused(Code.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if not 0 < partitions <= MAX_PARTITIONS:
            raise Refused(Code.INVALID_PARTITIONS, f"number of partitions {partitions}: 1 to {MAX_PARTITIONS}")
        checked = {key: configs.check(key, value) for key, value in own.items()}
        if not validate_only:
            folder = f"{name[:100]}-{uuid.uuid4().hex[:12]}"
            self._journal.put((("topic", name), {"folder": folder, "configs": checked, "partitions": partitions}))
            self._opened(name, folder, checked, partitions)

    def delete(self, name: str) -> None:
        """Raises Refused. Waiting fetches are woken."""
        topic = self.get(name)
        starts = [key for key, _ in self._journal.items("start", topic.folder.name)]
        self._journal.remove([("topic", name), *starts])
        del self._topics[name]
        for partition in topic.partitions:
            partition.close()
            partition.wake()
        shutil.rmtree(topic.folder, ignore_errors=True)
        for callback in self.on_delete:
            callback(name)

    def add_partitions(self, name: str, count: int, *, validate_only: bool) -> None:
        """Raises Refused."""
        topic, present = self.get(name), len(self.get(name).partitions)
        if not present < count <= MAX_PARTITIONS:
            raise Refused(Code.INVALID_PARTITIONS, f"topic {name} has {present} partitions; {count} is not an increase")
        if not validate_only:
            self._store(topic, topic.config.own, count)
            topic.grow(count, lambda index: 0)

    def configure(self, name: str, own: Mapping[str, str | None], *, validate_only: bool) -> None:
        """Replace the topic's own configuration. Raises Refused."""
        topic = self.get(name)
        checked = {key: configs.check(key, value) for key, value in own.items()}
        if not validate_only:
            self._store(topic, checked, len(topic.partitions))
            topic.config.replace(checked)

    def _store(self, topic: Topic, own: Mapping[str, str], count: int) -> None:
        fact = {"folder": topic.folder.name, "configs": dict(own), "partitions": count}
        self._journal.put((("topic", topic.name), fact))

    def advance_start(self, topic: Topic, index: int, offset: int) -> None:
        """Delete records below the offset; journalled before a file is removed."""
        partition = topic.partitions[index]
        if offset > partition.log_start:
            self._journal.put((("start", topic.folder.name, index), offset))
            partition.advance_start(offset)

    def close(self) -> None:
        for topic in self._topics.values():
            for partition in topic.partitions:
                partition.close()
