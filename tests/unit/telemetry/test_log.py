"""A log line never holds a key, a prompt or an image, in whatever name, depth, type or traceback it was hidden; and an
exception is there whole."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog

from imageway.telemetry import configure, logger, redact_text

KEYS = (
    "sk-iw-mzqwe3tlnf2c4ylomfuw4zzr",
    "sk-test-abcdefghij",
    "sk-proj-AbC_dEf-123456789",
    "rk-test-abcdefghij",
    "AIzaSyTestTestTestTestTestTestTest",
    "whsec_5f5v4DBCbQUs6ys1ly6Zy2LlYdSvWEZMh9Ketz/SxS8=",
    f"iwsig_{'5af' * 21}0",
    "ya29.test-token_value",
    "AQ.Ab8RN6testtest",
)


@pytest.fixture(params=[True, False], ids=["json", "console"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    handlers = logging.getLogger().handlers
    configure(as_json=request.param)
    yield out.getvalue
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers


@pytest.mark.parametrize("key", KEYS)
def test_no_key_is_ever_written(written: Callable[[], str], key: str) -> None:
    @dataclass
    class Holder:
        inner: str

    logger().warning(
        "something.happened",
        detail=f'the provider said: "Incorrect API key provided: {key}."',
        url=f"https://api.example/v1?key={key}&alt=json",
        nested={"deep": [{"deeper": (f"Bearer {key}",)}]},
        raw=f"authorization: {key}".encode(),
        thing=Holder(key),
        names={key},
    )
    assert key not in written()
    assert "something.happened" in written()


@pytest.mark.parametrize("key", KEYS)
def test_no_key_comes_out_of_an_exception(written: Callable[[], str], key: str) -> None:
    """Neither out of its message, nor out of the local variables of the functions it passed."""
    hidden = key
    try:
        try:
            raise ValueError(f"with {hidden}")
        except ValueError as inner:
            raise RuntimeError(f"Bearer {hidden} was refused") from inner
    except RuntimeError as error:
        logger().exception("it.crashed", exc_info=error)
    assert key not in written()
    assert "RuntimeError" in written()
    assert "ValueError" in written()


def test_an_exception_is_logged_whole(written: Callable[[], str]) -> None:
    def culprit() -> None:
        raise KeyError("the last word")

    try:
        culprit()
    except KeyError as error:
        logger().exception("it.crashed", exc_info=error)
    assert "culprit" in written()
    assert "the last word" in written()


def test_the_end_of_a_long_traceback_is_kept(written: Callable[[], str]) -> None:
    try:
        raise ValueError("x" * 50_000 + "the last word")
    except ValueError as error:
        logger().exception("it.crashed", exc_info=error)
    assert "the last word" in written()
    assert len(written()) < 10_000


@pytest.mark.parametrize(
    "name",
    ["prompt", "negative_prompt", "image", "b64_json", "body", "data", "api_key", "Authorization", "client_secret"],
)
def test_content_and_secrets_are_known_by_their_names(written: Callable[[], str], name: str) -> None:
    logger().info("something.happened", **{name: "a cat on a chair"}, inner={name: "a cat on a chair"})
    assert "a cat on a chair" not in written()


@pytest.mark.parametrize("key", ["Bearer 0c1d2e3f-1111-2222-3333-444455556666", "bearer abcdef"])
def test_whatever_follows_bearer_is_a_key(key: str) -> None:
    assert redact_text(f'{{"authorization": "{key}"}}') == '{"authorization": "[redacted]'


def test_a_database_address_keeps_its_host_and_loses_its_password() -> None:
    said = redact_text("cannot reach postgresql://imageway:hunter22@db.internal:5432/imageway")
    assert said == "cannot reach postgresql://[redacted]@db.internal:5432/imageway"


def test_a_signature_is_taken_out_of_a_link() -> None:
    said = redact_text(f"/media/req_1-0.png?expires=1760000000&key=k1&signature={'0af' * 21}f")
    assert said == "/media/req_1-0.png?expires=1760000000&key=k1&signature=[redacted]"


@pytest.mark.parametrize("text", ["a risk-free skill", "ask-me", "Rk 7", "disk-1 is full", "req_7k2mabc", "2026-11-20"])
def test_ordinary_words_stay(text: str) -> None:
    assert redact_text(text) == text


def test_long_values_are_cut(written: Callable[[], str]) -> None:
    logger().info("something.happened", detail="y" * 100_000)
    assert len(written()) < 3_000


@pytest.mark.parametrize("kept", [*range(1, 24, 3)])
@pytest.mark.parametrize("key", ["sk-test-abcdefghijklmnopqrst", "postgresql://imageway:hunter22-hunter22@db/x"])
def test_a_key_on_the_edge_of_what_is_cut_is_no_less_a_key(written: Callable[[], str], key: str, kept: int) -> None:
    """Whether its beginning or its end would be left."""
    assert not any(part in redact_text("y" * (2000 - kept) + "=" + key) for part in ("sk-t", "hunt"))
    try:
        raise ValueError(key + "y" * (8000 - kept))
    except ValueError as error:
        logger().exception("it.crashed", exc_info=error)
    told = written()
    assert not any(part in told for part in ("opqrst", "hunter22"))


@pytest.fixture(autouse=True)
def _loggers_as_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ran a server in this process before may have set up its loggers in its own way."""
    for name in ("uvicorn", "uvicorn.error", "asyncio", "some.library"):
        found = logging.getLogger(name)
        for attribute, value in (("propagate", True), ("disabled", False), ("handlers", []), ("level", 0)):
            monkeypatch.setattr(found, attribute, value)
        found.setLevel(logging.NOTSET)  # setting the attribute alone leaves what is cached


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncio", "some.library"])
def test_what_libraries_log_is_a_line_like_ours(written: Callable[[], str], name: str) -> None:
    """One line, with the library's name, without keys, and with the traceback once."""
    words = f"the last word {KEYS[0]}"
    try:
        raise ValueError(words)
    except ValueError as error:
        logging.getLogger(name).error("it failed with %s\n", KEYS[1], exc_info=error)
        logging.getLogger(name).info("nobody wants to know")
    said = written()
    assert name in said
    assert not any(key in said for key in KEYS)
    assert (said.count("it failed with"), said.count("the last word"), said.count("Traceback")) == (1, 1, 1)
    assert "nobody" not in said
    if said.startswith("{"):
        (line,) = said.splitlines()
        found = json.loads(line)
        assert (found["logger"], found["level"], found["event"]) == (name, "error", "it failed with [redacted]\n")
        assert found["exception"].endswith("ValueError: the last word [redacted]")
        assert set(found) == {"logger", "level", "event", "exception", "timestamp"}


def test_libraries_are_heard_once_and_no_louder_than_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is configured."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for level, heard in (("debug", 1), ("warning", 1), ("error", 0)):
        configure(level=level)
        logging.getLogger("uvicorn.error").warning("a warning at %s", level)
        logging.getLogger("some.library").debug("a detail")
        assert out.getvalue().count(f"a warning at {level}") == heard
    assert "a detail" not in out.getvalue()
    structlog.reset_defaults()


def test_numbers_stay_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure()
    logger().info("something.happened", usd_micros=12, sandbox=True, nothing=None, share=0.5)
    structlog.reset_defaults()
    line = json.loads(out.getvalue())
    assert (line["usd_micros"], line["sandbox"], line["nothing"], line["share"]) == (12, True, None, 0.5)
