"""Alibaba DashScope's image models as documented in autumn 2026: synchronous multimodal generation; tasks that are
submitted, polled, listed and cancelled; edits of a base image; uploads of local files. A request for server-sent events
is refused with a 400: these models have none."""

from imageway.sandbox.upstreams.dashscope.service import DashscopeUpstream

__all__ = ["DashscopeUpstream"]
