"""The OpenAI Images API as documented in November 2026: generations, edits (form and JSON), both as streams too, and
models; and the same service as Azure sells it."""

from imageway.sandbox.upstreams.openai.azure import AzureUpstream
from imageway.sandbox.upstreams.openai.service import OpenaiUpstream

__all__ = ["AzureUpstream", "OpenaiUpstream"]
