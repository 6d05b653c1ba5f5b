"""Volcengine Ark image generation (Seedream, SeedEdit) as documented and measured in autumn 2026: one endpoint for
text, edits, references and groups. `stream` and `layer_decomposition` are refused with a 400; the sandbox has neither
yet."""

from imageway.sandbox.upstreams.ark.service import ArkUpstream

__all__ = ["ArkUpstream"]
