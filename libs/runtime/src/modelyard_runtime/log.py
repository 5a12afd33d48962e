"""Structured logs: JSON lines on stderr, a readable form on a terminal; never a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from modelyard_runtime.tracing import current_correlation_id, current_traceparent

_SECRET_NAME: Final = re.compile(
    r"authorization|password|passwd|secret|api_?key|admin_?key|token$|cookie", re.IGNORECASE
)
_SECRET_TEXT: Final = re.compile(r"(?i)(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}|(://[^:/@\s]+:)[^@/\s]+(?=@)")
HIDDEN: Final = "***"


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send structlog and the standard library's logs through one formatter, to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _context(service),
        _hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    render: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "httpx", "httpcore", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def get_logger(name: str) -> Any:
    """A structlog logger: `log.info("what happened", key=value)`."""
    return structlog.stdlib.get_logger(name)


def _context(service: str) -> Any:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        if (correlation := current_correlation_id()) is not None:
            event.setdefault("correlation_id", str(correlation))
        if (parent := current_traceparent()) is not None:
            event.setdefault("trace_id", parent[3:35])
        return event

    return add


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = _SECRET_TEXT.sub(lambda found: f"{found[2] or found[1] + ' '}{HIDDEN}", value)
    return event
