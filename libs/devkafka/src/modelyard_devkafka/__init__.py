"""A development broker that speaks the Kafka protocol: a local default and a test double, never Kafka."""

from modelyard_devkafka.embedded import DevKafka
from modelyard_devkafka.errors import AddressUnusable, BrokerError, DataFolderUnusable

__all__ = ["AddressUnusable", "BrokerError", "DataFolderUnusable", "DevKafka"]
