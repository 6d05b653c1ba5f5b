"""How a vendor's methods are asked for a file format (aiplatform.googleapis.com: ImageConfig; google-genai,
models.py)."""

from __future__ import annotations

from imageway.core.blobs import Tree
from imageway.core.requests import ImageRequest
from imageway.providers.fields import given


def output_options(request: ImageRequest) -> dict[str, Tree] | None:
    """`{"mimeType": "image/jpeg", "compressionQuality": 80}`; only a JPEG is compressed to a quality. None: nothing was
    asked for."""
    wanted = request.output_format
    if wanted is None:
        return None
    quality = request.output_compression if wanted == "jpeg" else None
    return given({"mimeType": f"image/{wanted}", "compressionQuality": quality})
