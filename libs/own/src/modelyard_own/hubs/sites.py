"""The hubs that are known, their addresses and settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from modelyard_own.errors import UnfitModel
from modelyard_own.hubs.huggingface import HuggingFace
from modelyard_own.hubs.modelscope import ModelScope
from modelyard_own.hubs.snapshot import Snapshot
from modelyard_own.remote import Access, Connection, RemoteFile

REPO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?")


class HubName(StrEnum):
    """Hubs by the shape of their API; mirrors have the same shape at another address."""

    HF = "hf"
    MODELSCOPE = "modelscope"


class Hub(Protocol):
    """One hub: repositories at a commit, and addresses of their files."""

    connection: Connection

    def snapshot(self, repo: str, revision: str) -> Snapshot:
        """List a repository at the commit that the revision names."""

    def url_of(self, snapshot: Snapshot, file: RemoteFile) -> str:
        """Address of a file at that commit."""


@dataclass(frozen=True)
class Site:
    """Address and default revision of a hub; environment variables that hold another address, and a token."""

    title: str
    endpoint: str
    revision: str
    endpoint_variable: str
    token_variable: str
    cookie: str = ""

    def access(self, endpoint: str | None, environ: Mapping[str, str]) -> Access:
        """The address and token to use. endpoint: stated by the caller; else the environment, else the public hub."""
        address = endpoint or environ.get(self.endpoint_variable) or self.endpoint
        token = environ.get(self.token_variable, "").strip()
        option = "--endpoint" if endpoint else self.endpoint_variable
        return Access(address, token, self.token_variable, self.cookie, option=option)


SITES: Final[Mapping[HubName, Site]] = {
    HubName.HF: Site("Hugging Face", "https://huggingface.co", "main", "HF_ENDPOINT", "HF_TOKEN"),
    HubName.MODELSCOPE: Site(
        "ModelScope",
        "https://www.modelscope.cn",
        "master",
        "MODELSCOPE_ENDPOINT",
        "MODELSCOPE_API_TOKEN",
        "m_session_id",
    ),
}


def check_repo(repo: str) -> None:
    """UnfitModel for what cannot be the name of a repository, before any hub is asked."""
    if not REPO.fullmatch(repo):
        raise UnfitModel(f"{repo[:200]!a}: is no repository; write ORG/NAME, as in its address")


def hub_of(name: HubName, connection: Connection) -> Hub:
    """The hub at a connection."""
    return HuggingFace(connection) if name is HubName.HF else ModelScope(connection)
