"""How the outside world fails us, as exceptions that cross rooms: transport raises them, the engine decides."""

from __future__ import annotations

from imageway.core.steps import FailureKind


class TransportFailed(Exception):
    """An exchange that brought no complete reply. `kind` is NEVER_SENT only when not one byte of the request can have
    left; UNKNOWN when in doubt; SPOILED when the reply broke a limit. `detail` is for the operator."""

    def __init__(self, kind: FailureKind, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s


class FetchRefused(Exception):
    """A remote address that will not be fetched, or that did not answer with an image. `message` is fit for callers:
    it never repeats what an internal address said."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StoreFailed(Exception):
    """A store that cannot be used, or a commit whose fate nobody told: it may or may not have happened. `undone`: it
    has not, and never will."""

    def __init__(self, message: str, *, undone: bool = False) -> None:
        super().__init__(message)
        self.undone = undone


class FaultInjected(BaseException):
    """Raised in place of `kill -9` where a test runs everything in one process."""
