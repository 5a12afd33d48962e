"""Templates: autoescaped, every name defined, formats as filters, addresses as `links`."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import jinja2

from modelyard_console.domain import formats, links, names
from modelyard_contracts.policy_changes import exact

STATIC: Final = files("modelyard_console") / "static"
FILTERS: Final = {
    "number": formats.number,
    "signed": formats.signed,
    "percent": formats.percent,
    "ms": formats.milliseconds,
    "seconds": formats.seconds,
    "size": formats.size,
    "money": formats.money,
    "moment": formats.moment,
    "words": formats.words,
    "short_digest": formats.short_digest,
    "plain_value": formats.plain_value,
    "main_metrics": formats.main_metrics,
    "recorded": formats.recorded,
    "setting_name": formats.setting_name,
    "exact": exact,
}


class Templates:
    """The templates of the console, compiled once."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("modelyard_console", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {**FILTERS, "attribute_json": attribute_json}
        self._environment.globals |= {
            "links": links,
            "asset": asset,
            "model_pattern": names.BROWSER_PATTERN,
            "model_rule": names.RULE,
            "ratio": formats.ratio,
            "instant": formats.instant,
            "as_moment": formats.as_moment,
        }

    def render(self, name: str, context: Mapping[str, Any]) -> str:
        """The text of a page."""
        return self._environment.get_template(name).render(context)


def attribute_json(value: object) -> str:
    """JSON as the value of an attribute in double quotes; the template escapes it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


@cache
def asset(name: str) -> str:
    """Address of a static file. It changes with the content, so browsers may keep the file for ever."""
    content = STATIC.joinpath(*name.split("/")).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
