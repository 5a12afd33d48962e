"""Model hubs: list a repository at a commit, choose its files, download and verify them."""

from modelyard_own.hubs.choosing import Choice, choose
from modelyard_own.hubs.download import download
from modelyard_own.hubs.sites import SITES, Hub, HubName, hub_of
from modelyard_own.hubs.snapshot import Snapshot
from modelyard_own.remote import Connection, RemoteFile

__all__ = [
    "SITES",
    "Choice",
    "Connection",
    "Hub",
    "HubName",
    "RemoteFile",
    "Snapshot",
    "choose",
    "download",
    "hub_of",
]
