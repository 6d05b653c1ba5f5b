"""The Gemini API's generateContent for image models, as documented and recorded in autumn 2026, under /v1 and /v1beta.
streamGenerateContent is refused with a 400 in the provider's envelope; the sandbox does not stream yet."""

from imageway.sandbox.upstreams.google.service import GoogleUpstream

__all__ = ["GoogleUpstream"]
