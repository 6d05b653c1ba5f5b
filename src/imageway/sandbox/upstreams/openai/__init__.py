"""The OpenAI Images API as documented in November 2026: generations, edits (form and JSON), models. A request to
stream is refused with a 400 in the provider's envelope; the sandbox does not stream yet."""

from imageway.sandbox.upstreams.openai.service import OpenaiUpstream

__all__ = ["OpenaiUpstream"]
