"""Connections to providers as a person writes them, and the text of a new one."""

import json
from typing import Final

from modelyard import ConnectionInfo
from modelyard_console.domain.specifications import Written, read_text
from modelyard_contracts.connections import Connection

EXAMPLE: Final = json.dumps(
    {
        "endpoint": "https://api.example.com/v1",
        "secret": "PROVIDER_API_KEY",
        "currency": "USD",
        "models": {
            "small-1": {
                "context_tokens": 128_000,
                "input_per_million_tokens": 0.15,
                "output_per_million_tokens": 0.6,
            }
        },
        "limits": {"requests_per_minute": 500, "timeout_ms": 60_000},
    },
    indent=2,
)
"""Text of a new connection, to be changed."""
HIDDEN: Final = {"schema_version", "min_release"}


def read_connection(text: str) -> Written:
    """Check a connection; problems name the field and never its value, which might be a key."""
    return read_text(text, Connection, '{"endpoint": "https://api.example.com/v1"}')


def text_of(found: ConnectionInfo) -> str:
    """A connection as text to edit."""
    return json.dumps(found.document.model_dump(mode="json", exclude=HIDDEN), indent=2, ensure_ascii=False)
