"""Pretend providers that behave as the real ones document. They share nothing with the code they check: this room
imports core and bodies alone and keeps tables of its own."""

from imageway.sandbox.opening import open_sandbox
from imageway.sandbox.router import Room
from imageway.sandbox.wire import Sandbox, SandboxAnswer, SandboxRequest

__all__ = ["Room", "Sandbox", "SandboxAnswer", "SandboxRequest", "open_sandbox"]
