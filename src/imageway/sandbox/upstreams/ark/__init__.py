"""Volcengine Ark image generation (Seedream, SeedEdit) as documented and measured in autumn 2026: one endpoint for
text, edits, references and groups, whole or as a stream. `layer_decomposition` is refused with a 400; the sandbox has
no layers yet."""

from imageway.sandbox.upstreams.ark.service import ArkUpstream

__all__ = ["ArkUpstream"]
