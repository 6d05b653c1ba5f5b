"""Google's generateContent as AI Studio and Vertex serve it, one image a call, in one piece or as a stream. Knows
contents, configuration, usage, blocks and error details of that format. Option `door` "platform": Vertex's paths and
fields."""

from __future__ import annotations

from typing import Final

from imageway.core.steps import Adapter
from imageway.providers.gemini.reply import BLOCKS, decode
from imageway.providers.gemini.request import encode
from imageway.providers.shared.status import DENIALS

ADAPTER: Final = Adapter("gemini", encode, decode)

__all__ = ["ADAPTER", "BLOCKS", "DENIALS"]
