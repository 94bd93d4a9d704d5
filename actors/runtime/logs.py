"""Logs: one JSON object a line on standard error, an event word and fields, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

#: Fields and query parameters whose value never reaches a log.
_SECRETS = ("token", "nonce", "x-nonce", "signature", "authorization", "proxy", "key", "secret")

_IN_TEXT = re.compile(
    r"(?i)\b(token|nonce|x-nonce|signature)=[^&\s\"']+|jwk_[a-z0-9]+_[\w-]+|(?<=Bearer )\S+"
    # The user and password of a URL.
    r"|(?<=://)[^/\s@]+(?=@)"
)


def configure_logs(level: str, *, pretty: bool) -> None:
    """Send everything from `level` on to standard error; `pretty` is for people at a terminal."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.WARNING)
    renderer = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr, force=True)


def redact(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Replace secrets in fields and in texts, also inside a traceback."""
    for name, value in fields.items():
        if name.lower() in _SECRETS:
            fields[name] = "[redacted]"
        elif isinstance(value, str):
            fields[name] = _IN_TEXT.sub("[redacted]", value)
    return fields
