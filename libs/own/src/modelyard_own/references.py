"""Models that are not files: a container image, or a model behind an API, written as a document that is registered."""

import re
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from modelyard_contracts.documents import write
from modelyard_contracts.external import IMAGE, ApiReference, ImageReference
from modelyard_contracts.manifest import Price
from modelyard_contracts.sentences import explain
from modelyard_own.errors import UnfitModel
from modelyard_own.origin import Origin

IMAGE_FILE: Final = "container.json"
API_FILE: Final = "api.json"
PRICE: Final = "price"
MAX_BYTES: Final = 100_000


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
    facts = _facts(file)
    try:
        price = Price.model_validate(facts.pop(PRICE, None) or {})
        reference = ApiReference.model_validate({**facts, "kind": "api-model"})
    except ValidationError as error:
        raise UnfitModel(f"{file}: {_problem(error)}") from error
    origin = Origin(reference.endpoint, reference.model, kind="api")
    return _written(folder / API_FILE, reference), origin, price


def _problem(error: ValidationError) -> str:
    """The field and what is wrong with it; never the value, which might be a secret."""
    if (field := ".".join(map(str, error.errors()[0]["loc"]))) == "secret":
        return "secret: write the NAME of the environment variable that holds the key, such as PROVIDER_API_KEY"
    return f"{field}: {explain(error).problem}"


def _facts(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UnfitModel(f"{file}: has more than {MAX_BYTES:,} bytes")
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UnfitModel(f"--api {file}: cannot be read as YAML ({error.__class__.__name__})") from error
    if not isinstance(found, dict):
        raise UnfitModel(f"{file}: write fields such as `endpoint: https://...`, one per line")
    return {str(name): value for name, value in found.items()}


def _written(path: Path, reference: ImageReference | ApiReference) -> Path:
    """Write the document once: its time of change is part of the manifest, so a repetition is the same version."""
    data = write(reference)
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path
