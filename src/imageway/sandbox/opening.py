"""Opens a sandbox with every pretend provider in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from imageway.sandbox.router import Room
from imageway.sandbox.studio import Studio
from imageway.sandbox.upstreams.ark import ArkUpstream
from imageway.sandbox.upstreams.dashscope import DashscopeUpstream
from imageway.sandbox.upstreams.google import GoogleUpstream, StudioFront, VertexFront
from imageway.sandbox.upstreams.openai import AzureUpstream, OpenaiUpstream

_NO_FAULTS: Mapping[str, float] = MappingProxyType({})


def open_sandbox(
    *,
    latency_s: float = 0,
    faults: Mapping[str, float] = _NO_FAULTS,
    random_seed: int = 0,
    folder: Path | None = None,
) -> Room:
    """`latency_s` passes before every generation is answered; `faults` maps a fault's name to its probability per
    generation submit. In `folder` the sandbox keeps for 24 hours what a real service would not forget when this process
    ends: accepted tasks, and pictures answered by URL. Raises ValueError for an unknown fault, naming the accepted
    ones."""
    studio = Studio(random_seed, folder)
    upstreams = (
        OpenaiUpstream(studio),
        AzureUpstream(studio),
        GoogleUpstream(studio, StudioFront(studio.chance)),
        GoogleUpstream(studio, VertexFront(studio.chance)),
        ArkUpstream(studio),
        DashscopeUpstream(studio),
    )
    return Room(studio, upstreams, latency_s=latency_s, faults=faults)
