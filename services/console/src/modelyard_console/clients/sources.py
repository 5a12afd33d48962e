"""The registries of other products that the settings name. No address comes from a person, and no credentials."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Final

from modelyard import ApiError, RegistryClient
from modelyard.errors import ApiUnavailable
from modelyard_contracts.manifest import SourceKind
from modelyard_own import UnfitModel
from modelyard_own.remote import Connection, Report
from modelyard_own.remote.connection import ATTEMPTS, Pause
from modelyard_own.sync import (
    Difference,
    Fits,
    ForeignModel,
    ForeignRegistry,
    ForeignVersion,
    Product,
    access_of,
    differences,
    opened,
    read_here,
)
from modelyard_runtime.errors import Unavailable

TITLES: Final = {Product.MLFLOW: "MLflow", Product.SAGEMAKER: "SageMaker", Product.AZUREML: "Azure ML"}
LISTINGS_AT_ONCE: Final = 4
LISTING_ATTEMPTS: Final = 2
"""Calls in a row that may fail while a person waits for the page."""
MAX_MODELS: Final = 100
"""Models of a source on one page."""


@dataclass(frozen=True)
class Source:
    """A registry of another product. address: of SageMaker a region."""

    id: str
    product: Product
    address: str

    @property
    def title(self) -> str:
        """Product and address, for messages."""
        return f"{TITLES[self.product]} ({self.address})"


class SourceProblem(Exception):
    """A source that refused or did not answer; the text names it and the remedy."""


class Sources:
    """Calls to other registries. Blocks: call it off the event loop.

    addresses: by product. variables: credentials by the names of the command line; those of SageMaker are boto3's.
    files_root: folder of this machine whose files a source may name. timeout_s: for each read of a listing.
    UnfitModel if an address cannot be used.
    """

    def __init__(
        self,
        addresses: Mapping[Product, Sequence[str]],
        variables: Mapping[str, str],
        *,
        files_root: Path | None,
        timeout_s: float,
    ) -> None:
        self._variables, self._files_root, self._timeout_s = variables, files_root, timeout_s
        self._turns = threading.BoundedSemaphore(LISTINGS_AT_ONCE)
        self.offered: dict[str, Source] = {}
        for product, several in addresses.items():
            for number, address in enumerate(several, start=1):
                source = Source(f"{product}-{number}" if number > 1 else str(product), product, address)
                self._check(source)  # a wrong address ends the start, not the first comparison
                self.offered[source.id] = source

    def _check(self, source: Source) -> None:
        if source.product is not Product.SAGEMAKER:
            Connection(access_of(source.product, source.address, self._variables)).close()
        elif find_spec("boto3") is None:
            raise UnfitModel("CONSOLE_SYNC_SAGEMAKER needs boto3; install modelyard-own[sagemaker]")

    def models(self, source: Source, name: str) -> tuple[list[ForeignModel], bool]:
        """The first models of a source, or the one of this name; and whether there are more. SourceProblem."""
        with self._listing(source) as foreign:
            found = list(islice(foreign.models(name or None), MAX_MODELS + 1))
        return found[:MAX_MODELS], len(found) > MAX_MODELS

    def compared(self, source: Source, name: str, registry: RegistryClient, model: str) -> list[Difference] | None:
        """What differs between a model there and here; None if there is no such model there.

        SourceProblem; ApiError of the registry here.
        """
        with self._listing(source) as foreign:
            there = next(iter(foreign.models(name)), None)
            return None if there is None else list(differences(there, read_here(registry, foreign, name, model)))

    @contextmanager
    def opened(self, source: Source, pause: Pause) -> Iterator[ForeignRegistry]:
        """A source for a job, whose errors name it. pause: waits between attempts."""
        with self._opened(source, ATTEMPTS, pause) as foreign:
            yield foreign

    @contextmanager
    def _listing(self, source: Source) -> Iterator[ForeignRegistry]:
        if not self._turns.acquire(timeout=self._timeout_s):
            raise Unavailable("other registries are being listed; try again in a minute")
        try:
            with self._opened(source, LISTING_ATTEMPTS, None) as foreign:
                yield foreign
        except (_ForeignError, _ForeignUnavailable, UnfitModel) as error:
            raise SourceProblem(str(error)) from error
        finally:
            self._turns.release()

    @contextmanager
    def _opened(self, source: Source, attempts: int, pause: Pause | None) -> Iterator[ForeignRegistry]:
        with ExitStack() as stack:
            with _named(source):
                found = stack.enter_context(
                    opened(
                        source.product,
                        source.address,
                        self._variables,
                        self._files_root,
                        timeout_s=self._timeout_s,
                        attempts=attempts,
                        pause=pause,
                    )
                )
            yield _Named(source, found)


class _ForeignError(ApiError):
    """A refusal of a source."""


class _ForeignUnavailable(ApiUnavailable):
    """A source did not answer."""


@contextmanager
def _named(source: Source) -> Iterator[None]:
    """Errors of the source say which one it is."""
    try:
        yield
    except (_ForeignError, _ForeignUnavailable):
        raise
    except ApiError as error:
        raise (_ForeignUnavailable if error.retryable else _ForeignError)(
            error.status, error.code, f"{source.title}: {error.title}", error.detail, body=error.body
        ) from error


class _Named:
    """A registry whose errors name it."""

    def __init__(self, source: Source, inner: ForeignRegistry) -> None:
        self._source, self._inner = source, inner
        self.kind: SourceKind = inner.kind
        self.uri = inner.uri

    def models(self, name: str | None) -> Iterator[ForeignModel]:
        with _named(self._source):
            yield from self._inner.models(name)

    def page_of(self, model: str) -> str:
        return self._inner.page_of(model)

    def fetch(self, version: ForeignVersion, folder: Path, report: Report, fits: Fits) -> Path:
        with _named(self._source):
            return self._inner.fetch(version, folder, report, fits)
