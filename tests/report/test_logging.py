"""Lines of the log."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from controller.report.logging import configure_logging
from controller.report.redaction import SecretRedactor

TOKEN = 's3cr3t-t0ken/+="x'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**config)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_off_a_terminal_a_line_is_json(stream: io.StringIO) -> None:
    configure_logging(stream)
    structlog.get_logger("x").info("operation", cause="declared", milliseconds=1.5)
    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "event", "cause", "milliseconds"]
    assert (line["level"], line["event"], line["milliseconds"]) == ("info", "operation", 1.5)
    assert line["timestamp"].endswith("Z")


def test_on_a_terminal_a_line_is_coloured() -> None:
    stream = Terminal()
    configure_logging(stream)
    structlog.get_logger().info("operation", cause="declared")
    assert "\x1b[" in stream.getvalue()
    assert "declared" in stream.getvalue()


def said(stream: io.StringIO, event: str, level: int = logging.INFO, **facts: Any) -> str:
    """The line on a terminal without colours, its time left out."""
    configure_logging(stream, json=False)
    structlog.get_logger().log(level, event, **facts)
    return stream.getvalue().split(" ", 1)[1]


def test_lines_can_be_asked_for_off_a_terminal(stream: io.StringIO) -> None:
    line = said(stream, "operation", operation="create", cause="declared", result="success", milliseconds=12.3)
    assert line == "sandkeeper                 create            declared · 12 ms\n"


def test_on_a_terminal_an_event_of_a_sandbox_goes_by_its_reason(stream: io.StringIO) -> None:
    line = said(stream, "event", sandbox="default/web", reason="Ready", message="the sandbox is ready", pass_id="0a")
    assert line == "default/web                Ready             the sandbox is ready pass=0a\n"


def test_on_a_terminal_a_warning_says_so_without_colours_too(stream: io.StringIO) -> None:
    line = said(stream, "list_failed", logging.WARNING, runtime="docker", error="gone")
    assert line == "sandkeeper                 list_failed       warning: gone runtime=docker\n"


def test_on_a_terminal_ready_is_green() -> None:
    stream = Terminal()
    configure_logging(stream)
    structlog.get_logger().info("event", sandbox="default/web", reason="Ready", message="the sandbox is ready")
    assert "\x1b[32m\x1b[1mReady" in stream.getvalue()


def test_a_message_cannot_command_the_terminal(stream: io.StringIO) -> None:
    line = said(stream, "event", reason="Failed", message="\x1b[2Jcleared\nforged line", odd="\r")
    assert "\x1b" not in line
    assert line.count("\n") == 1
    assert "\\x1b[2Jcleared\\nforged line odd=\\r" in line


def test_a_traceback_cannot_command_the_terminal(stream: io.StringIO) -> None:
    configure_logging(stream, json=False)
    try:
        raise ValueError("\x1b[2Jcleared")
    except ValueError:
        structlog.get_logger().exception("pass_panicked")
    assert stream.getvalue().splitlines()[-1] == "ValueError: \\x1b[2Jcleared"


def test_every_line_of_a_pass_carries_the_sandbox_and_the_pass(stream: io.StringIO) -> None:
    configure_logging(stream)
    with structlog.contextvars.bound_contextvars(sandbox="default/web", pass_id="0a"):
        structlog.get_logger().info("operation")
        logging.getLogger("docker").error("library")
    structlog.get_logger().info("after")
    first, second, after = lines(stream)
    assert (first["sandbox"], first["pass_id"]) == ("default/web", "0a")
    assert (second["sandbox"], second["event"], second["logger"]) == ("default/web", "library", "docker")
    assert "sandbox" not in after


def test_events_below_the_level_are_left_out(stream: io.StringIO) -> None:
    configure_logging(stream, level="warning")
    structlog.get_logger().info("not this")
    structlog.get_logger().warning("this")
    assert [line["event"] for line in lines(stream)] == ["this"]


@pytest.mark.parametrize(
    "name", ["uvicorn.error", "watchdog.observers", "docker.utils", "urllib3.connectionpool", "other"]
)
def test_libraries_are_heard_at_warning(stream: io.StringIO, name: str) -> None:
    configure_logging(stream, level="debug")
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble with %s", "it")
    logging.getLogger(name).log(35, "a level of its own")
    assert [(line["event"], line["level"]) for line in lines(stream)] == [
        ("trouble with it", "warning"),
        ("a level of its own", "warning"),
    ]


def test_a_library_that_formats_badly_is_still_heard(stream: io.StringIO) -> None:
    configure_logging(stream)
    logging.getLogger("docker").warning("%d of %s", "one", "two")
    assert lines(stream)[0]["event"] == "%d of %s"


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    configure_logging(stream)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("pass_panicked")
        logging.getLogger("uvicorn.error").exception("failed")
    assert all("ValueError: broken" in line["exception"] for line in lines(stream))


def redacting() -> SecretRedactor:
    redactor = SecretRedactor()
    redactor.add(TOKEN)
    return redactor


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_never_appears(stream: io.StringIO, as_json: bool) -> None:
    configure_logging(stream, json=as_json, redactor=redacting())
    log = structlog.get_logger()
    log.info(f"in the event {TOKEN}", text=f"a{TOKEN}b", nested={"env": [f"A={TOKEN}"], TOKEN: (TOKEN, 1)})
    log.warning("error", error=ValueError(TOKEN), raw=TOKEN.encode())
    logging.getLogger("docker").error("from a library: %s", TOKEN)
    logging.getLogger("docker").error(json.dumps({"env": TOKEN}))
    try:
        raise RuntimeError(TOKEN)
    except RuntimeError:
        log.exception("failed")
    with structlog.contextvars.bound_contextvars(sandbox=TOKEN):
        log.info("bound")
    text = stream.getvalue()
    assert text.count("[redacted]") >= 9
    assert "t0ken" not in text


def test_a_secret_of_many_lines_does_not_appear_line_by_line() -> None:
    redactor = SecretRedactor()
    redactor.add("-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n")
    assert redactor.redact("tail: kqhkiG9w0BAQEF") == "tail: [redacted]"


def test_a_short_secret_is_found_as_a_word_alone() -> None:
    redactor = SecretRedactor()
    redactor.add("on")
    redactor.add("")
    redactor.add(" \n")
    assert redactor.redact("reason: on, one") == "reason: [redacted], one"


def test_a_secret_within_another_is_no_hole() -> None:
    redactor = SecretRedactor()
    redactor.add("abcdef")
    redactor.add("abcdefghij")
    assert redactor.redact("abcdefghij abcdef") == "[redacted] [redacted]"


def test_a_stream_that_cannot_be_written_stops_nobody() -> None:
    for broken in (FullDisk(), io.StringIO()):
        configure_logging(broken)
        broken.close()
        structlog.get_logger().error("lost")


def test_odd_characters_are_written_escaped(tmp_path: Any) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        configure_logging(file, json=False)
        structlog.get_logger().info("odd", text="a\udcffb")
    assert "udcff" in (tmp_path / "log").read_text()


def test_lines_of_many_threads_stay_whole(stream: io.StringIO) -> None:
    configure_logging(stream)

    def write() -> None:
        for number in range(100):
            structlog.get_logger().info("line", number=number, filler="x" * 200)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(stream)) == 400
