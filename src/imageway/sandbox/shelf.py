"""Finished pictures that are answered by URL: kept in memory for 24 hours, the oldest go when the space is used up."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from imageway.sandbox.answers import bytes_answer, json_answer
from imageway.sandbox.wire import SandboxAnswer

PREFIX = "/sandbox-files/"
LIFETIME_S = 86_400
LIMIT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Kept:
    content: bytes
    media_type: str
    until_s: float


class Shelf:
    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.used_bytes = 0

    def put(self, content: bytes, format_name: str) -> str:
        """Keeps a picture and gives its path below the origin: "/sandbox-files/<id>.<extension>"."""
        name = f"{secrets.token_hex(16)}.{format_name}"
        self._kept[name] = Kept(content, f"image/{format_name}", time.time() + LIFETIME_S)
        self.used_bytes += len(content)
        while self.used_bytes > self._limit_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return PREFIX + name

    def get(self, path: str) -> Kept | None:
        name = path.removeprefix(PREFIX)
        kept = self._kept.get(name)
        if kept is None or kept.until_s < time.time():
            if kept is not None:
                self._drop(name)
            return None
        self._kept.move_to_end(name)
        return kept

    def answer(self, method: str, path: str) -> SandboxAnswer:
        """What an object store says: the file, or 404."""
        kept = self.get(path)
        if kept is None or method not in ("GET", "HEAD"):
            status, code = (404, "NoSuchKey") if kept is None else (405, "MethodNotAllowed")
            return json_answer(status, {"code": code}, (("content-type", "application/json"),))
        headers = (("content-type", kept.media_type), ("accept-ranges", "bytes"), ("cache-control", "private"))
        return bytes_answer(200, kept.content, headers)

    def _drop(self, name: str) -> None:
        self.used_bytes -= len(self._kept.pop(name).content)
