"""Pictures drawn on demand: the same sketch gives the same bytes, of exactly the pixels and format asked for. Knows
Pillow and nothing of any provider."""

from imageway.sandbox.drawing.references import Reference, Unreadable, read_reference
from imageway.sandbox.drawing.render import Sketch, coarsen, encode, paint, render

__all__ = ["Reference", "Sketch", "Unreadable", "coarsen", "encode", "paint", "read_reference", "render"]
