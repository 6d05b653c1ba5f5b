"""Alibaba DashScope's Qwen-Image as documented in autumn 2026: synchronous multimodal generation, and tasks that are
submitted, polled, listed and cancelled. A request for server-sent events is refused with a 400, and `oss://` uploads
are unknown; the sandbox has neither yet."""

from imageway.sandbox.upstreams.dashscope.service import DashscopeUpstream

__all__ = ["DashscopeUpstream"]
