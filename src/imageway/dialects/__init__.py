"""Inbound wire formats, one package each, independent of its neighbours: pure functions from values to values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from imageway.core.intents import Dialect
from imageway.dialects import ark, dashscope, gemini, imagen, mountsea, omixa, openai_images
from imageway.dialects.ark.fields import TABLE as ARK_FIELDS
from imageway.dialects.dashscope.fields import TABLE as DASHSCOPE_FIELDS
from imageway.dialects.foreign import aware
from imageway.dialects.gemini.fields import TABLE as GEMINI_FIELDS
from imageway.dialects.imagen.fields import TABLE as IMAGEN_FIELDS
from imageway.dialects.mountsea.fields import ANY as MOUNTSEA_FIELDS
from imageway.dialects.omixa.fields import ANY as OMIXA_FIELDS
from imageway.dialects.openai_images.fields import TABLE as OPENAI_FIELDS
from imageway.dialects.openai_images.tasks import read_pace
from imageway.dialects.preferring import preferring, receiving
from imageway.dialects.shared.table import Table

UNIFIED: Final = openai_images.DIALECT
"""The one that we speak where nobody has asked in another: its endpoint takes every model."""
_TASKLESS: Final = (gemini.DIALECT, imagen.DIALECT, ark.DIALECT, omixa.DIALECT)
_TABLES: Final[tuple[tuple[Dialect, Table], ...]] = (
    (openai_images.DIALECT, OPENAI_FIELDS),
    (gemini.DIALECT, GEMINI_FIELDS),
    (imagen.DIALECT, IMAGEN_FIELDS),
    (dashscope.DIALECT, DASHSCOPE_FIELDS),
    (ark.DIALECT, ARK_FIELDS),
    (omixa.DIALECT, OMIXA_FIELDS),
    (mountsea.DIALECT, MOUNTSEA_FIELDS),
)


def _aware() -> Iterator[Dialect]:
    """Every dialect, knowing which names the others know, and whoever prefers a task."""
    everybodys = {name for _, table in _TABLES for _, name in table.by_place}
    for dialect, table in _TABLES:
        own = {name for _, name in table.by_place}
        decode = aware(dialect.decode, own=own, foreign=everybodys - own)
        if dialect is UNIFIED:  # whose fields say it too
            yield replace(dialect, decode=decode)
            continue
        encode = receiving(dialect.encode, UNIFIED.encode) if dialect in _TASKLESS else dialect.encode
        yield replace(dialect, decode=preferring(decode, read_pace), encode=encode)


DIALECTS: Final[tuple[Dialect, ...]] = tuple(_aware())
