"""Model hubs: list a repository at a commit, choose its files, download and verify them."""

from modelyard_own.hubs.choosing import Choice, choose
from modelyard_own.hubs.download import download, fetch, require_digests
from modelyard_own.hubs.sites import SITES, Hub, HubName, check_repo, hub_of
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
    "check_repo",
    "choose",
    "download",
    "fetch",
    "hub_of",
    "require_digests",
]
