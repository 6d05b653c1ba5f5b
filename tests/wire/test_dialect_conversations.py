"""Golden conversations of inbound dialects: a request as it arrives, the intent it becomes, the outcome, the answer.

A file is comment lines and sections: `== request METHOD PATH` (header lines, then JSON) or `== form METHOD PATH`
(header lines, then JSON: a list of [name, text] and [name, {"file": base64, "name", "type"}]), `== intent KIND`,
`== outcome KIND` or `== error CODE`, `== answer STATUS` (header lines, then JSON; a request that cannot be decoded is
answered at once). Of a stream: `== event KIND` (preview, arrived, finished, broken), then `== sse` (a list of
[name or null, data]). An intent shows what differs from the defaults, its request's family aside. `$PNG` stands for the
base64 of a small PNG, `$LARGE` for one so long that it is lifted out of the body on its way in, `$URLSAFE` for
base64url without padding."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from imageway.bodies import Budget, Spool, blob_of, json_payload, lift_json
from imageway.catalog import load
from imageway.core.errors import GatewayError, InvalidRequest
from imageway.core.intents import (
    Answer,
    Arrived,
    Broken,
    Dialect,
    Estimated,
    Event,
    Finished,
    Generate,
    Generated,
    Inbound,
    Intent,
    Missing,
    ModelCard,
    ModelList,
    Outcome,
    Picture,
    Preview,
    TaskList,
    TaskView,
    Uploaded,
    UploadGrant,
    Where,
)
from imageway.core.money import PriceLine
from imageway.core.requests import ImageData, ImageLink, MaskForm, RequestWarning
from imageway.core.steps import FormBody, FormFile, Settled, Usage
from imageway.core.streams import StreamEvent
from imageway.dialects import DIALECTS

FOLDER = Path(__file__).parent / "dialects"
FILES = sorted(FOLDER.rglob("*.txt"))
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
CATALOG = load()


def png(width: int, height: int, noise: bytes = b"") -> bytes:
    """A whole grey PNG; `noise` makes it long."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    text = chunk(b"tEXt", b"noise\0" + noise) if noise else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SMALL = png(3, 2)
LARGE = png(64, 48, noise=bytes(range(1, 256)) * 60)
PLACEHOLDERS = {
    "$PNG": base64.b64encode(SMALL).decode(),
    "$LARGE": base64.b64encode(LARGE).decode(),
    "$URLSAFE": base64.urlsafe_b64encode(png(5, 4, noise=b"\xff\xfe\xfd" * 8)).decode().rstrip("="),
}


@dataclass(frozen=True)
class Section:
    kind: str
    words: tuple[str, ...]
    headers: Mapping[str, str]
    content: Any


def read_sections(text: str) -> Iterator[Section]:
    for spelled, content in PLACEHOLDERS.items():
        text = text.replace(spelled, content)
    for piece in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = piece.partition("\n")
        lines = [line for line in rest.splitlines() if not line.startswith("# ")]
        headers = {}
        while lines and (match := re.fullmatch(r"([a-z][a-z0-9-]*): (.*)", lines[0])):
            headers[match[1]] = match[2]
            lines.pop(0)
        body = "\n".join(lines).strip()
        kind, *words = title.split()
        yield Section(kind, tuple(words), headers, json.loads(body) if body else None)


def find_route(dialect: Dialect, method: str, path: str, carriers: set[str]) -> tuple[str, dict[str, str]]:
    """The first that matches; `carriers` are the headers there are, and the query parameters, each with a "?"."""
    for route in dialect.routes:
        if route.carriers and carriers.isdisjoint(route.carriers):
            continue
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
        match = re.fullmatch(pattern, path)
        if match and route.method == method:
            return route.name, match.groupdict()
    raise AssertionError(f"{dialect.name} has no route {method} {path}")


def _marks(marks: MaskForm | None) -> dict[str, str]:
    return {"marks": marks.value} if marks else {}


def shown(value: object) -> Any:
    """A value as a golden file shows it: structs as objects of what differs from their defaults."""
    match value:
        case ImageData(blob=blob, param=param, marks=marks):
            facts = blob.facts
            assert facts is not None, f"{param} is not an image"
            return {"image": f"{facts.format} {facts.width}x{facts.height}", "at": param, **_marks(marks)}
        case ImageLink(url=url, param=param, marks=marks):
            return {"image": url, "at": param, **_marks(marks)}
        case StrEnum():
            return value.value
        case Mapping():
            return {str(name): shown(inner) for name, inner in value.items()}
        case tuple() | list():
            return [shown(inner) for inner in value]
    if isinstance(value, msgspec.Struct):
        return {
            each.name: shown(getattr(value, each.name))
            for each in msgspec.structs.fields(value)
            if each.name not in ("family", "names") and getattr(value, each.name) != each.default
        }
    return value


def family_of(name: str) -> str | None:
    found = CATALOG.find(name)
    return found.model.family if found else None


def kind_of(intent: Intent) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(intent).__name__).lower()


def picture(content: dict[str, Any]) -> Picture:
    known: dict[str, Any] = {"media_type": "image/png", "width": 3, "height": 2}
    b64 = content.pop("b64", None)
    return Picture(**known | content, blob=blob_of(base64.b64decode(b64)) if b64 else None)


def warnings(content: dict[str, Any]) -> tuple[RequestWarning, ...]:
    return tuple(RequestWarning(**each) for each in content.pop("warnings", ()))


def build_outcome(kind: str, content: Any) -> Outcome:
    match kind:
        case "generated":
            return Generated(
                warnings=warnings(content),
                pictures=tuple(picture(each) for each in content.pop("pictures")),
                usage=Usage(**usage) if (usage := content.pop("usage", None)) else None,
                settled=Settled(**settled) if (settled := content.pop("settled", None)) else None,
                seeds=tuple(content.pop("seeds", ())),
                missing=tuple(Missing(**each) for each in content.pop("missing", ())),
                **{"request_id": "req_1", "model": "m", "family": "f", "created_s": 1763600000} | content,
            )
        case "estimated":
            lines = tuple(PriceLine(**line) for line in content.pop("prices"))
            return Estimated(prices=lines, warnings=warnings(content), **content)
        case "models":
            return ModelList(tuple(ModelCard(**card) for card in content))
        case "model":
            return ModelCard(**content)
        case "task":
            return task(content)
        case "tasks":
            return TaskList(tasks=tuple(map(task, content.pop("tasks"))), **content)
        case "upload_grant":
            return UploadGrant(**content)
        case "uploaded":
            return Uploaded(**content)
    raise AssertionError(f"unknown outcome {kind}")


def task(content: dict[str, Any]) -> TaskView:
    pictures = tuple(picture(each) for each in content.pop("pictures", ()))
    error = tuple(content.pop("error", ())) or None
    missing = tuple(Missing(**each) for each in content.pop("missing", ()))
    return TaskView(pictures=pictures, error=error, warnings=warnings(content), missing=missing, **content)


def build_event(kind: str, content: Any) -> Event:
    match kind:
        case "preview":
            return Preview(picture=picture(content.pop("picture")), **content)
        case "arrived":
            return Arrived(picture=picture(content.pop("picture")), **content)
        case "finished":
            outcome = build_outcome("generated", content)
            assert isinstance(outcome, Generated)
            return Finished(outcome)
        case "broken":
            return Broken("req_1", failure(content.pop("code"), content))
    raise AssertionError(f"unknown event {kind}")


def failure(code: str, content: dict[str, Any]) -> GatewayError:
    resend, drawn = content.pop("resend", None), content.pop("drawn", False)
    error = GatewayError(code, **content)
    error.resend_override, error.drawn = resend, drawn
    return error


async def events_read(events: tuple[StreamEvent, ...]) -> list[Any]:
    """Each as [name, data], the data as a client would read it."""
    return [
        [event.name, event.data if isinstance(event.data, str) else json.loads(await body_bytes(Answer(0, event.data)))]
        for event in events
    ]


def form_of(parts: Any) -> FormBody:
    return FormBody(
        tuple(
            (name, value)
            if isinstance(value, str)
            else (name, FormFile(blob_of(base64.b64decode(value["file"])), value["name"], value["type"]))
            for name, value in parts
        )
    )


async def body_bytes(answer: Answer) -> bytes:
    return b"".join([chunk async for chunk in json_payload(answer.body).chunks()])


async def chunks_of(content: Any, size: int = 1000) -> AsyncIterator[bytes]:
    text = json.dumps(content, ensure_ascii=False).encode()
    for start in range(0, len(text), size):
        yield text[start : start + size]


async def check_answer(answer: Answer, expected: Section) -> None:
    assert answer.status == int(expected.words[0])
    assert json.loads(await body_bytes(answer)) == expected.content
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers)
    assert headers == expected.headers


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER).with_suffix("")) for path in FILES])
async def test_conversation(path: Path, tmp_path: Path) -> None:
    dialect = BY_NAME[path.relative_to(FOLDER).parts[0]]
    scope = Spool(tmp_path, Budget(1_000_000)).scope()
    intent: Intent | None = None
    answer: Answer | None = None
    where = Where(None, "req_1")
    events: tuple[StreamEvent, ...] = ()
    for section in read_sections(path.read_text()):
        match section.kind:
            case "request" | "form":
                method, url = section.words
                place, _, query = url.partition("?")
                parameters = dict(parse_qsl(query))
                carriers = {*section.headers, *(f"?{each}" for each in parameters)}
                name, params = find_route(dialect, method, place, carriers)
                where = Where(name, "req_1", params)
                body: Any = None
                if section.kind == "form":
                    body = form_of(section.content)
                elif section.content is not None:
                    body = await lift_json(chunks_of(section.content), scope)
                inbound = Inbound(
                    route=name,
                    method=method,
                    path=place,
                    params=params,
                    query=parameters,
                    headers=section.headers,
                    body=body,
                    family_of=family_of,
                )
                try:
                    intent, answer = dialect.decode(inbound), None
                except InvalidRequest as error:
                    intent, answer = None, dialect.encode_error(where, error)
            case "intent":
                assert intent is not None, f"refused: {answer}"
                assert kind_of(intent) == section.words[0]
                assert shown(intent) == section.content
            case "outcome":
                assert intent is not None, f"refused: {answer}"
                answer = dialect.encode(intent, build_outcome(section.words[0], section.content))
            case "event":
                assert isinstance(intent, Generate), f"refused: {answer}"
                assert dialect.encode_event is not None
                events = dialect.encode_event(intent, build_event(section.words[0], section.content))
            case "sse":
                assert await events_read(events) == section.content
            case "error":
                answer = dialect.encode_error(where, failure(section.words[0], section.content))
            case "answer":
                assert answer is not None
                await check_answer(answer, section)
            case other:
                raise AssertionError(f"unknown section {other}")


def test_every_dialect_has_conversations() -> None:
    assert {path.relative_to(FOLDER).parts[0] for path in FILES} == set(BY_NAME)
