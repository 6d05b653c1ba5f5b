"""Outbound wire formats, one package each, independent of its neighbours: pure functions from values to values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imageway.core.steps import Adapter
from imageway.providers import ark_images, dashscope, gemini, imagen, openai_images

ADAPTERS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {
        adapter.name: adapter
        for adapter in (
            openai_images.ADAPTER,
            gemini.ADAPTER,
            ark_images.ADAPTER,
            dashscope.ADAPTER,
            imagen.ADAPTER,
        )
    }
)

__all__ = ["ADAPTERS"]
