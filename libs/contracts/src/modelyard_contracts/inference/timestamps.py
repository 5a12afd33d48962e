"""Timestamps of requests: RFC 3339 text to seconds."""

from modelyard_contracts import usable


def parse_timestamp(text: str) -> float:
    """Seconds since 1970-01-01T00:00:00Z of an RFC 3339 timestamp; ValueError if it is none, or has no offset."""
    moment = usable.parse_timestamp(text)
    if moment is None or not usable.has_offset(text) or len(text) < len("2026-01-01T00:00:00Z"):
        raise ValueError("a timestamp needs date, time and offset, such as 2026-01-31T12:00:00Z")
    return moment.timestamp()
