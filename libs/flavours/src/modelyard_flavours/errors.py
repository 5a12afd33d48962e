"""Errors of saving and loading artifacts."""

from modelyard_contracts.manifest import ModelManifest


class FlavourError(Exception):
    """Base class; none of these is retryable."""

    retryable = False


class Inadmissible(FlavourError):
    """The artifact holds something that is not allowed; the text names the file and, for a type, its full name."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file, self.reason = file, reason


class BadParameter(FlavourError):
    """A parameter of one request cannot be used; the text names it and the remedy. The model goes on."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class UnknownFlavour(FlavourError):
    """No such flavour; the text lists the known ones."""

    def __init__(self, flavour: str, known: tuple[str, ...]) -> None:
        super().__init__(f"flavour {flavour!r} is unknown; known are {', '.join(known)}")
        self.flavour = flavour


class MissingExtra(FlavourError):
    """A package that the flavour needs is not installed; the text names the extra to install."""

    def __init__(self, flavour: str, package: str, extra: str) -> None:
        super().__init__(
            f"flavour {flavour!r} needs the package {package}, which is not installed; "
            f"pip install 'modelyard-flavours[{extra}]'"
        )


class Unloadable(FlavourError):
    """Allowed, but it does not load; often because the library has another version than at saving."""

    def __init__(self, manifest: ModelManifest, here: dict[str, str], error: Exception) -> None:
        pairs = (f"{name} {manifest.environment.get(name, '?')} (here {version})" for name, version in here.items())
        super().__init__(
            f"{manifest.model} ({manifest.flavour}): {type(error).__name__}: {error}; saved with {', '.join(pairs)}"
        )


class ProviderError(FlavourError):
    """The provider of a model gave no answer; the text names the connection and never holds the key.

    code: `provider_unauthorized`, `provider_rate_limited`, `provider_timeout`, `provider_failed` (it broke off, or has
    an error of its own), `provider_refused` (it does not take the request), `provider_bad_answer`, or
    `connection_unusable`. retry_after_s: pause that it asks for.
    """

    def __init__(self, connection: str, problem: str, *, code: str, retry_after_s: int | None = None) -> None:
        super().__init__(f"connection {connection}: {problem}")
        self.code, self.retry_after_s = code, retry_after_s
