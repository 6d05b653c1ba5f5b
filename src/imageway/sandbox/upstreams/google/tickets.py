"""An accepted request with its pictures read: what everything after the checks works from."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.sandbox.drawing import Reference
from imageway.sandbox.upstreams.google.checks import Draft
from imageway.sandbox.upstreams.google.limits import Pixels


@dataclass(frozen=True, slots=True)
class Ticket:
    """`is_vertex`: in which shape it is answered."""

    draft: Draft
    references: tuple[Reference, ...]
    signature_bytes: int
    is_vertex: bool

    def pixels(self, size: str) -> Pixels:
        """An edit follows its first input unless told otherwise; everything else is square."""
        ratio = self.draft.ratio
        if ratio is None and self.references:
            ratio = self.draft.model.nearest_ratio(self.references[0].width, self.references[0].height)
        return self.draft.model.pixels_of(ratio or "1:1", size)
