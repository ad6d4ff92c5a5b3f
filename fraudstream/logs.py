"""Logs: JSON lines for machines, short text for a terminal. Constant messages, data in ``extra``."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from fraudstream.settings import Settings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
"""What every record has; anything else came in through ``extra``."""

_NOISY = {
    "aiokafka": logging.ERROR,  # one WARNING a second and client while a broker is away
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "aiohttp.access": logging.WARNING,
}


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, then what ``extra`` held."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, whatever its values are."""
        line: dict[str, Any] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _extra(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """The same for people: time, level, message, then ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, followed by its traceback if it has one."""
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{_instant(record)[11:23]} {record.levelname.lower():7} {record.getMessage()}{extra}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def configure_logs(settings: Settings, stream: TextIO | None = None, **context: object) -> None:
    """Send every log line of this process to ``stream`` (standard error by default).

    Replaces what was configured before. ``context`` (role, index) is added to each line.
    """
    target = stream or sys.stderr
    text = settings.log_format == "text" or (settings.log_format == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextLines() if text else JsonLines())
    handler.addFilter(_is_no_service_chatter)
    handler.addFilter(_without_needless_traceback)
    if context:
        handler.addFilter(_adding(context))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in _NOISY.items():
        logging.getLogger(name).setLevel(max(level, root.level))


def _is_no_service_chatter(record: logging.LogRecord) -> bool:
    # Mode logs each start and stop of a service under the name of the module that defines it: ours too.
    return record.levelno > logging.INFO or not str(record.msg).startswith("[^")


def _without_needless_traceback(record: logging.LogRecord) -> bool:
    """Let every record pass, one about brokers that do not answer without its traceback.

    Each layer of Faust reports it again; where in there it was noticed helps nobody. Its text names the
    brokers.
    """
    if record.exc_info and record.exc_info[1] is not None:
        from aiokafka.errors import KafkaConnectionError  # noqa: PLC0415 - whoever logs one has it loaded

        if isinstance(record.exc_info[1], KafkaConnectionError):
            record.exc_info = None
    return True


def _adding(context: dict[str, object]) -> Any:
    def add(record: logging.LogRecord) -> bool:
        for name, value in context.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True

    return add


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
