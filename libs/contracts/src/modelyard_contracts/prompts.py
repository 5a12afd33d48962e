"""The manifest of a prompt version: a template and its variables."""

import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from modelyard_contracts.documents import Document
from modelyard_contracts.references import REFERENCE_PATTERN

MAX_TEMPLATE_CHARACTERS: Final = 100_000
_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}")


class PromptManifest(Document):
    """One version of a prompt, as it was registered."""

    DOCUMENT: ClassVar[str] = "prompt manifest"

    kind: Literal["prompt"] = "prompt"
    prompt: str = Field(pattern=REFERENCE_PATTERN)
    """Reference of the prompt: `name` or `workspace:name`."""
    template: str = Field(min_length=1, max_length=MAX_TEMPLATE_CHARACTERS)
    """Text with variables, written `{{name}}`."""
    variables: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], ...] = ()
    """Every variable of the template, in any order."""
    description: str = Field(default="", max_length=4_000)

    @model_validator(mode="after")
    def _states_its_variables(self) -> Self:
        used, stated = set(_VARIABLE.findall(self.template)), set(self.variables)
        if missing := sorted(used - stated):
            raise ValueError(f"variables: the template uses {', '.join(missing)}; list them")
        if unused := sorted(stated - used):
            raise ValueError(f"variables: the template does not use {', '.join(unused)}; remove them")
        return self
