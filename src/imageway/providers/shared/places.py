"""Where a vendor's methods stand: in its studio, or on its platform, there below a project or (express mode) not."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from imageway.core.steps import Call

PLATFORM: Final = "platform"
_VERSIONS: Final = {PLATFORM: "v1beta1"}
_STUDIO_VERSION: Final = "v1beta"
_EVERYWHERE: Final = "global"


def on_platform(call: Call) -> bool:
    """Option `door` "platform" of an offering; it takes fields that the studio calls unknown."""
    return call.options.get("door") == PLATFORM


def path_of(call: Call, method: str) -> str:
    """`/v1beta/models/m:predict`; on the platform below `publishers/google`, and below the upstream's own `project` and
    `location` where it names a project. The upstream's `api_version` goes before the usual one (google-genai,
    _api_client.py)."""
    facts = call.upstream
    version = facts.get("api_version") or _VERSIONS.get(call.options.get("door", ""), _STUDIO_VERSION)
    if not on_platform(call):
        return f"/{version}/models/{call.model}:{method}"
    house = f"/{version}"
    if project := facts.get("project", ""):
        location = facts.get("location") or _EVERYWHERE
        house += f"/projects/{quote(project, safe='')}/locations/{quote(location, safe='')}"
    return f"{house}/publishers/google/models/{call.model}:{method}"
