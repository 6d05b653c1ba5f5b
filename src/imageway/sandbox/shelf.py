"""Finished pictures that are answered by URL, kept for 24 hours; the oldest go when the space is used up."""

from __future__ import annotations

import secrets

from imageway.sandbox.answers import Headers, bytes_answer, json_answer
from imageway.sandbox.cabinets import Cabinet
from imageway.sandbox.wire import SandboxAnswer

PREFIX = "/sandbox-files/"
LIMIT_BYTES = 256 * 2**20


class Shelf:
    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet

    async def put(self, content: bytes, format_name: str) -> str:
        """Keeps a picture and gives its path below the origin: "/sandbox-files/<id>.<extension>". Raises NotKept."""
        name = f"{secrets.token_hex(16)}.{format_name}"
        await self._cabinet.put(name, content)
        return PREFIX + name

    async def get(self, path: str) -> bytes | None:
        return await self._cabinet.get(path.removeprefix(PREFIX))

    async def answer(self, method: str, path: str) -> SandboxAnswer:
        """What an object store says: the file, or 404."""
        content = await self.get(path)
        if content is None:
            return _refusal(404, "NoSuchKey")
        if method not in ("GET", "HEAD"):
            return _refusal(405, "MethodNotAllowed")
        media_type = f"image/{path.rpartition('.')[2]}"
        headers = (("content-type", media_type), ("accept-ranges", "bytes"), ("cache-control", "private"))
        return bytes_answer(200, content, headers)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return _refusal(429, "TooManyRequests", (("retry-after", "1"),) if hint else ())

    def broken(self) -> SandboxAnswer:
        return _refusal(500, "InternalError")


def _refusal(status: int, code: str, more: Headers = ()) -> SandboxAnswer:
    return json_answer(status, {"code": code}, (("content-type", "application/json"), *more))
