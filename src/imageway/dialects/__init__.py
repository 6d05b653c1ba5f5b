"""Inbound wire formats, one package each, independent of its neighbours: pure functions from values to values."""

from __future__ import annotations

from typing import Final

from imageway.core.intents import Dialect
from imageway.dialects import ark, dashscope, gemini, imagen, omixa, openai_images

DIALECTS: Final[tuple[Dialect, ...]] = (
    openai_images.DIALECT,
    gemini.DIALECT,
    imagen.DIALECT,
    dashscope.DIALECT,
    ark.DIALECT,
    omixa.DIALECT,
)
