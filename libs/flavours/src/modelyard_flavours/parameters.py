"""Parameters of a request for a text, as the model that answers knows them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from modelyard_contracts.messages import Part
from modelyard_contracts.sentences import explain
from modelyard_flavours.errors import BadParameter

P = TypeVar("P", bound=Part)


def parsed(known: type[P], parameters: Mapping[str, Any]) -> P:
    """Return the parameters; BadParameter names the field and the known ones."""
    try:
        return known.model_validate(dict(parameters))
    except ValidationError as error:
        explained = explain(error)
        names = ", ".join(known.model_fields)
        raise BadParameter(explained.field or "parameters", f"{explained.problem}; known are {names}") from error
