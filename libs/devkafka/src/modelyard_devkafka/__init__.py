"""A development broker that speaks the Kafka protocol: a local default and a test double, never Kafka."""

from .embedded import DevKafka
from .errors import AddressUnusable, BrokerError, DataFolderUnusable

__all__ = ["AddressUnusable", "BrokerError", "DataFolderUnusable", "DevKafka"]
