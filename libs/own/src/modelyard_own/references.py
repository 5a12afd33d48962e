"""Models that are not files: a container image, or a model behind an API, written as a document that is registered."""

import re
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from modelyard_contracts.connections import CONNECTION, Connection
from modelyard_contracts.documents import write
from modelyard_contracts.external import IMAGE, ApiReference, ConnectedModel, ImageReference
from modelyard_contracts.inference.errors import shown
from modelyard_contracts.manifest import Price
from modelyard_contracts.sentences import explain
from modelyard_contracts.signature import Task
from modelyard_own.description import Description
from modelyard_own.errors import UnfitModel
from modelyard_own.facts import Facts
from modelyard_own.origin import Origin

IMAGE_FILE: Final = "container.json"
API_FILE: Final = "api.json"
PRICE: Final = "price"
DIMENSION: Final = "dimension"
"""Option of a version that embeds: numbers of a vector."""
MAX_BYTES: Final = 100_000
MAX_NAMED: Final = 20
"""Models of a connection that an error names."""


def image_reference(image: str, folder: Path) -> tuple[Path, Origin]:
    """Write the document of an image; UnfitModel for a reference without a digest."""
    if not re.fullmatch(IMAGE, image):
        raise UnfitModel(
            f"--image {image[:200]}: write registry/name@sha256:DIGEST; a tag may name another image tomorrow "
            "(`docker buildx imagetools inspect IMAGE:TAG` prints the digest)"
        )
    digest = image.rpartition("@")[2]
    return _written(folder / IMAGE_FILE, ImageReference(image=image)), Origin(image, digest, kind="image")


def api_reference(file: Path, folder: Path) -> tuple[Path, Origin, Price]:
    """Write the document of a model behind an API, from a YAML file with its facts and prices."""
    facts = facts_in(file)
    try:
        price = Price.model_validate(facts.pop(PRICE, None) or {})
        reference = ApiReference.model_validate({**facts, "kind": "api-model"})
    except ValidationError as error:
        raise UnfitModel(f"{file}: {_problem(error)}") from error
    origin = Origin(reference.endpoint, reference.model, kind="api")
    return _written(folder / API_FILE, reference), origin, price


def connected_reference(
    name: str, model: str, connection: Connection | None, folder: Path
) -> tuple[Path, Origin, Price | None]:
    """Write the document of a model behind a connection, which must list it if it lists models.

    connection: None if it was not looked up; then nothing is known about the model. The price is None in currencies
    other than US dollars: those of the connection hold.
    """
    try:
        reference = ConnectedModel(model=model)
    except ValidationError as error:
        raise UnfitModel(f"--provider-model: {_problem(error)}") from error
    if connection is not None and connection.models and model not in connection.models:
        known = ", ".join(sorted(connection.models)[:MAX_NAMED])
        raise UnfitModel(f"--provider-model: the connection {shown(name)} has no model {shown(model)}; it has {known}")
    price = connection.price_of(model) if connection else None
    return _written(folder / API_FILE, reference), Origin(f"connection:{name}", model, kind="api"), price


def bought_facts(stated: Description) -> Facts:
    """Facts of a model of a provider: the owner states them. UnfitModel for a task that such a model does not have."""
    if stated.task not in (None, Task.TEXT, Task.EMBEDDING):
        raise UnfitModel(f"--task {stated.task}: a model of a provider answers with text or embedding")
    dimension = stated.options.get(DIMENSION, "")
    if stated.task is not Task.EMBEDDING:
        return Facts(takes_text=True)
    if not dimension.isdecimal() or not int(dimension):
        raise UnfitModel("--task embedding: set --dimension to the size of the model's vectors, such as 1536")
    return Facts(takes_text=True, dimension=int(dimension))


def connection_in(file: Path) -> tuple[str, str] | None:
    """Connection and model that a YAML file names; None for a file that states the endpoint itself."""
    facts = facts_in(file)
    if CONNECTION not in facts:
        return None
    if more := sorted(facts.keys() - {CONNECTION, "model"}):
        raise UnfitModel(f"{file}: {more[0]}: is a fact of the connection; leave it out, or leave out `connection`")
    if missing := [field for field in (CONNECTION, "model") if not isinstance(facts.get(field), str)]:
        raise UnfitModel(f"{file}: {missing[0]}: is missing; write `{missing[0]}: NAME`")
    return facts[CONNECTION], facts["model"]


def _problem(error: ValidationError) -> str:
    """The field and what is wrong with it; never the value, which might be a secret."""
    if (field := ".".join(map(str, error.errors()[0]["loc"]))) == "secret":
        return "secret: write the NAME of the environment variable that holds the key, such as PROVIDER_API_KEY"
    return f"{field}: {explain(error).problem}"


def facts_in(file: Path) -> dict[str, Any]:
    """The fields of a YAML or JSON file; UnfitModel if it has none. Values are not repeated: one may be a secret."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UnfitModel(f"{file}: has more than {MAX_BYTES:,} bytes")
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UnfitModel(f"{file}: cannot be read as YAML ({error.__class__.__name__})") from error
    if not isinstance(found, dict):
        raise UnfitModel(f"{file}: write fields such as `endpoint: https://...`, one per line")
    return {str(name): value for name, value in found.items()}


def _written(path: Path, reference: ImageReference | ApiReference | ConnectedModel) -> Path:
    """Write the document once: its time of change is part of the manifest, so a repetition is the same version."""
    data = write(reference)
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path
