"""Google's predict for image models, as AI Studio and Vertex serve it: pictures from a prompt, edits under a mask,
enlargements. Knows instances, parameters, predictions and what was filtered out. Option `door` "platform": Vertex's
paths."""

from __future__ import annotations

from typing import Final

from imageway.core.steps import Adapter
from imageway.providers.imagen.reply import decode
from imageway.providers.imagen.request import encode
from imageway.providers.shared.status import DENIALS

ADAPTER: Final = Adapter("imagen", encode, decode)

__all__ = ["ADAPTER", "DENIALS"]
