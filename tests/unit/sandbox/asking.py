"""A caller without sockets: asks a sandbox and reads the whole answer; and pictures to send and to look at."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from imageway.sandbox import Room, SandboxAnswer, SandboxRequest


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def events(self) -> list[tuple[str | None, Any]]:
        """(event, data) of every server-sent event; data that is no JSON stays text."""
        *blocks, rest = self.content.decode().replace("\r\n", "\n").split("\n\n")
        assert rest == "", f"the stream ends in the middle of an event: {rest[:80]}"
        return [_event(block) for block in blocks]


def _event(block: str) -> tuple[str | None, Any]:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    data = fields["data"]
    return fields.get("event"), json.loads(data) if data.startswith("{") else data


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


async def ask(
    room: Room, path: str, body: object = None, *, method: str = "", headers: Mapping[str, str] | None = None
) -> Answered:
    """POST when there is a body, else GET; JSON unless the body is bytes; with a good key for every provider."""
    answer = await handed(room, path, body, method=method, headers=headers)
    return Answered(answer.status, dict(answer.headers), b"".join([chunk async for chunk in answer.chunks]))


async def handed(
    room: Room, path: str, body: object = None, *, method: str = "", headers: Mapping[str, str] | None = None
) -> SandboxAnswer:
    """The answer before its body was read."""
    path, _, query = path.partition("?")
    sent = {"authorization": "Bearer sk-test-1", "x-goog-api-key": "AIzaTEST", "content-type": "application/json"}
    return await room.handle(
        SandboxRequest(
            method=method or ("GET" if body is None else "POST"),
            path=path,
            origin="http://sandbox.test",
            query=dict(pair.split("=", 1) for pair in query.split("&") if pair),
            headers=sent | dict(headers or {}),
            body=_chunks(body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()),
        )
    )


def picture(content: bytes | str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(content) if isinstance(content, str) else content))
    image.load()
    return image


def file_of(
    format_name: str = "PNG", size: tuple[int, int] = (64, 64), colour: tuple[int, ...] = (200, 30, 30)
) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(out, format_name)
    return out.getvalue()


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
