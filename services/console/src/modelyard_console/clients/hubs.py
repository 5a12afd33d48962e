"""The model hubs that the settings name. No address comes from a person: an endpoint is a setting, as is its token."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from modelyard_console.domain.imports import Listing
from modelyard_own import UnfitModel
from modelyard_own.hubs import SITES, Choice, Connection, HubName, check_repo, choose, fetch, hub_of, require_digests
from modelyard_own.remote import Access, RemoteFile, Report
from modelyard_runtime.errors import Unavailable

MAX_FILES: Final = 2_000
"""Files of a repository; the largest sharded models have some hundreds."""
MAX_NAME_CHARACTERS: Final = 200
LISTINGS_AT_ONCE: Final = 4
LISTING_ATTEMPTS: Final = 2
"""Calls in a row that may fail while a person waits for the page."""


class Hubs:
    """Calls to hubs. Blocks: call it off the event loop.

    variables: addresses and tokens by the names of the command line. enabled: False turns imports off.
    max_bytes: of the files of one import. timeout_s: for one download. listing_timeout_s: for each read of a listing.
    UnfitModel if an address cannot be used.
    """

    def __init__(
        self, variables: Mapping[str, str], *, enabled: bool, max_bytes: int, timeout_s: float, listing_timeout_s: float
    ) -> None:
        self.enabled, self.max_bytes, self.timeout_s = enabled, max_bytes, timeout_s
        self._listing_timeout_s = listing_timeout_s
        self._turns = threading.BoundedSemaphore(LISTINGS_AT_ONCE)
        self._accesses: dict[HubName, Access] = {}
        for name, site in SITES.items():
            if enabled and variables.get(site.endpoint_variable):
                self._accesses[name] = site.access(None, variables)
                Connection(self._accesses[name]).close()  # a wrong address ends the start, not the first import

    @property
    def offered(self) -> dict[HubName, str]:
        """Hubs with an address, and where they are."""
        return {name: access.endpoint for name, access in self._accesses.items()}

    def token_variable(self, name: HubName) -> str:
        """Name of the setting that holds the token for a hub."""
        return SITES[name].token_variable

    def listing(
        self, name: HubName, repo: str, revision: str, include: Sequence[str], exclude: Sequence[str]
    ) -> Listing:
        """Resolve a revision to its commit, and choose files. revision: empty for the main branch.

        UnfitModel for a repository that cannot be imported; ApiError if the hub refuses or does not answer; Unavailable
        while others ask.
        """
        check_repo(repo)
        if not self._turns.acquire(timeout=self._listing_timeout_s):
            raise Unavailable("other repositories are being listed; try again in a minute")
        try:
            access = self._access(name)
            with Connection(access, timeout_s=self._listing_timeout_s, attempts=LISTING_ATTEMPTS) as connection:
                snapshot = hub_of(name, connection).snapshot(repo, revision or SITES[name].revision)
        finally:
            self._turns.release()
        if len(snapshot.files) > MAX_FILES:
            raise UnfitModel(f"{repo}: has {len(snapshot.files):,} files, more than the {MAX_FILES:,} of a model")
        choice = choose(snapshot.files, include, exclude)
        require_digests(choice)
        left_out = tuple((_short(file), why) for file, why in choice.left_out)
        return Listing(
            hub=name,
            snapshot=replace(snapshot, files=()),
            choice=Choice(choice.taken, left_out),
            files=len(snapshot.files),
            asked={},
        )

    def fetch(
        self, listing: Listing, folder: Path, parts: Path, report: Report, pause: Callable[[float], None]
    ) -> None:
        """Download the files at the commit of the listing; a repetition continues.

        report, pause: are called often; what they raise ends the download. UnfitModel, ApiError as of `modelyard_own`.
        """
        with Connection(self._access(listing.hub), pause=pause) as connection:
            hub = hub_of(listing.hub, connection)
            fetch(hub, listing.snapshot, listing.choice, folder, parts, report)

    def _access(self, name: HubName) -> Access:
        if name not in self._accesses:
            raise UnfitModel(f"{SITES[name].title} is not configured; set {SITES[name].endpoint_variable}")
        return self._accesses[name]


def _short(file: RemoteFile) -> RemoteFile:
    """A file that is only shown; its name is of the hub, and may be long."""
    return replace(file, path=file.path[:MAX_NAME_CHARACTERS])
