"""Logs: one line each, JSON for machines, text for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fraudstream.logs import configure_logs
from fraudstream.settings import Settings


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(log_format: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    settings = Settings.load({"FRAUDSTREAM_LOG_FORMAT": log_format, "FRAUDSTREAM_LOG_LEVEL": level})
    configure_logs(settings, stream, role="sinks")
    return stream


def test_a_json_line_holds_message_extra_and_context() -> None:
    stream = written("json")

    logging.getLogger("fraudstream.x").warning("store %s", "down", extra={"store": "mongo", "seconds": 1.5})

    line = json.loads(stream.getvalue())
    assert line["message"] == "store down"
    assert (line["level"], line["logger"]) == ("warning", "fraudstream.x")
    assert (line["store"], line["seconds"], line["role"]) == ("mongo", 1.5, "sinks")


def test_what_json_cannot_hold_is_written_as_text() -> None:
    stream = written("json")

    logging.getLogger("fraudstream.x").info("path", extra={"path": object})

    assert json.loads(stream.getvalue())["path"] == "<class 'object'>"


def test_a_traceback_stays_inside_its_json_line() -> None:
    stream = written("json")

    try:
        int("broken")
    except ValueError:
        logging.getLogger("fraudstream.x").exception("failed")

    assert stream.getvalue().count("\n") == 1
    assert "ValueError: invalid" in json.loads(stream.getvalue())["exception"]


def test_text_is_for_people() -> None:
    stream = written("text")

    logging.getLogger("fraudstream.x").info("worker started", extra={"pid": 7})

    assert stream.getvalue().endswith(" info    worker started pid=7 role=sinks\n")


def test_auto_writes_json_where_nobody_watches() -> None:
    stream = written("auto")

    logging.getLogger("fraudstream.x").info("hello")

    assert json.loads(stream.getvalue())["message"] == "hello"


def test_lines_below_the_level_and_chatter_of_libraries_are_left_out() -> None:
    stream = written("json", level="warning")

    logging.getLogger("fraudstream.x").info("fine")
    logging.getLogger("aiokafka.conn").warning("retrying")

    assert stream.getvalue() == ""
