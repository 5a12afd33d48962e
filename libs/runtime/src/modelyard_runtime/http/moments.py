"""Moments in query parameters."""

from datetime import UTC, datetime

from modelyard_runtime.errors import Invalid


def read_moment(text: str | None, field: str) -> datetime | None:
    """Parse an ISO 8601 moment with a zone; None without a text. Invalid names the field."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + of a zone arrives as a blank
        if moment.tzinfo is None:
            raise Invalid(f"{field}: a moment needs its zone, such as 2026-01-31T12:00:00Z", field=field)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{field}: {error}; give a moment such as 2026-01-31T12:00:00Z", field=field) from error
