"""Google's generateContent as AI Studio serves it, one image a call, in one piece or as a stream. Knows contents,
configuration, usage, blocks and error details of that format."""

from __future__ import annotations

from typing import Final

from imageway.core.steps import Adapter
from imageway.providers.gemini.errors import DENIALS
from imageway.providers.gemini.reply import BLOCKS, decode
from imageway.providers.gemini.request import encode

ADAPTER: Final = Adapter("gemini", encode, decode)

__all__ = ["ADAPTER", "BLOCKS", "DENIALS"]
