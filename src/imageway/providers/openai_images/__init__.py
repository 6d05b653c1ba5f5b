"""OpenAI's Images API: one form or JSON body out, images, events and errors back. Knows bodies, usage and error codes
of that format; which model takes what is the catalog's."""

from __future__ import annotations

from typing import Final

from imageway.core.steps import Adapter
from imageway.providers.openai_images.errors import KINDS
from imageway.providers.openai_images.reply import decode
from imageway.providers.openai_images.request import encode

ADAPTER: Final = Adapter("openai_images", encode, decode)

__all__ = ["ADAPTER", "KINDS"]
