"""Server-sent events as values: what a stream of an upstream brings, and what a stream of ours is made of."""

from __future__ import annotations

from msgspec import Struct

from imageway.core.blobs import Tree


class StreamEvent(Struct, frozen=True):
    """One server-sent event (WHATWG HTML, section 9.2). `data` is a JSON tree, its long base64 strings blobs, written
    as one line; a str is text that is not JSON ("[DONE]") and stands as it is. `name` None: no `event:` line; `id`
    None: no `id:` line."""

    data: Tree
    name: str | None = None
    id: str | None = None


class StreamEnd(Struct, frozen=True):
    """A stream ended as HTTP has it: nothing was cut."""
