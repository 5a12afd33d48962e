"""Other servers that have models: calls, and downloads that are resumed and verified."""

from modelyard_own.remote.connection import Access, Connection, Patience
from modelyard_own.remote.fields import count, joined, records, text
from modelyard_own.remote.files import GIT, RemoteFile
from modelyard_own.remote.transfer import MIB, Report, Transfer

__all__ = [
    "GIT",
    "MIB",
    "Access",
    "Connection",
    "Patience",
    "RemoteFile",
    "Report",
    "Transfer",
    "count",
    "joined",
    "records",
    "text",
]
