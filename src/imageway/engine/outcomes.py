"""What became of a task, for callers who ask as if they had waited for it: the answer with pictures, or the error."""

from __future__ import annotations

from typing import Final

from imageway.bodies import Scope, SpoolFull
from imageway.core.errors import GatewayError
from imageway.core.intents import Form, Generated, Picture, TaskView
from imageway.core.wording import moment
from imageway.engine.memos import unpack_task
from imageway.engine.ports import Tools
from imageway.engine.results import KeptPicture, generated_of, unpack_result
from imageway.tasks.queries import Task
from imageway.telemetry import events, logger

_UNTOLD: Final = ("request_timeout", "what became of this request is not known; nothing was charged")


def ended_badly(view: TaskView, *, sandbox: bool) -> GatewayError:
    """What the caller of a task without a picture is told. Sending it again is his decision, not his library's."""
    code, message = view.error or _UNTOLD
    error = GatewayError(code, message)
    error.request_id, error.sandbox, error.resend_override = view.id, sandbox, False
    return error


async def answer_of(tools: Tools, task: Task, scope: Scope, *, sandbox: bool, form: Form | None = None) -> Generated:
    """With the bytes of its pictures in `scope`, where it is asked for these: by `form`, else by the request. Raises
    GatewayError: 410 when they are no longer stored, 503 when they cannot be read."""
    kept, form = unpack_result(task.result), form or unpack_task(task.request).form
    if kept.expires_ms <= tools.clock.now_ms():
        raise GatewayError("link_expired", f"the images of this task expired at {moment(kept.expires_ms)}", param="id")
    if (gone := next((one for one in kept.pictures if one.deleted), None)) is not None:
        when = f" at {moment(gone.deleted_ms)}" if gone.deleted_ms else ""
        raise GatewayError("link_expired", f"an image of this task was deleted{when}", param="id")
    family = tools.catalog.models[task.model].family
    pictures = tuple(
        [await _picture(tools, one, kept.expires_ms, None if form == "url" else scope) for one in kept.pictures]
    )
    return generated_of(task, family, pictures, sandbox=sandbox)


async def _picture(tools: Tools, kept: KeptPicture, expires_ms: int, scope: Scope | None) -> Picture:
    """`scope` None: as a link."""
    blob = None
    if scope is not None:
        try:
            stored = await tools.objects.find(kept.name)
            if stored is None:
                raise _lost(kept.name)
            content = tools.objects.open(kept.name, 0, stored.size_bytes)
            blob = await scope.keep(content, declared_type=kept.media_type)
        except (OSError, EOFError, SpoolFull) as error:
            logger().warning(events.MEDIA_FAILED, detail=str(error))
            raise GatewayError("overloaded", "the image could not be read just now", retry_after_s=1) from error
    return Picture(
        media_type=kept.media_type,
        width=kept.width,
        height=kept.height,
        blob=blob,
        url=tools.signer.sign(kept.name, expires_ms) if scope is None else None,
        revised_prompt=kept.revised_prompt,
    )


def _lost(name: str) -> GatewayError:
    """Nobody deleted it through a gateway: that would be known."""
    why = "it was removed there, or another process stored it elsewhere: those of one database share one media store"
    logger().error(events.MEDIA_FAILED, detail=f'there is no "{name}", which is to be kept still: {why}')
    return GatewayError("link_expired", "an image of this task is not in the media store any more", param="id")
