"""Google's image models as documented and recorded in autumn 2026: generateContent, whole and as a stream, under /v1
and /v1beta of AI Studio and under Vertex's paths; and Imagen's predict, which outlives its models in relays."""

from imageway.sandbox.upstreams.google.fronts import StudioFront, VertexFront
from imageway.sandbox.upstreams.google.service import GoogleUpstream

__all__ = ["GoogleUpstream", "StudioFront", "VertexFront"]
