"""Uploads: a caller is granted a form, whoever holds it posts an image with it, and requests of that workspace may name
the image for a while. Nothing else is kept than the file; what a form allows stands in the form, signed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from imageway.bodies import decoded, digest, is_complete
from imageway.core.blobs import Blob
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.ids import new_id
from imageway.core.intents import GrantUpload, Upload, Uploaded, UploadGrant
from imageway.core.objects import StoredObject
from imageway.core.requests import Caller
from imageway.engine.ports import Tools
from imageway.engine.preparation import find_model
from imageway.media.proofs import MEDIA_TYPES
from imageway.media.uploads import SCHEME, Policy, is_signed, pack, sign, stored_name, unpack
from imageway.telemetry import events, logger

FOLDER: Final = "imageway-uploads"
MOST_NAME_CHARS: Final = 1024
BLOCK_BYTES: Final = 4096  # a file counts in whole blocks: the bound on bytes is one on files too


@dataclass(slots=True)
class Uploads:
    """`tools` are the engine's: the same store, clock and signing key."""

    tools: Tools
    _reading: int = 0
    _shares: dict[str, Share] = field(default_factory=dict)

    def grant(self, intent: GrantUpload, caller: Caller) -> UploadGrant:
        """A form for files of this workspace. Raises GatewayError 404 or 403 for a model that it could not use."""
        tools, settings = self.tools, self.tools.settings
        find_model(tools, intent.model, caller)
        policy = Policy(
            workspace_id=caller.workspace_id,
            folder=f"{FOLDER}/{new_id('up', tools.random)}",
            max_bytes=settings.upload_bytes,
            until_ms=tools.clock.now_ms() + int(settings.upload_form_s * 1000),
        )
        packed = pack(policy)
        return UploadGrant(
            url=tools.signer.public_url,
            fields={"policy": packed, "key": tools.signer.current, "signature": sign(tools.signer, packed)},
            folder=policy.folder,
            max_bytes=policy.max_bytes,
            expires_s=int(settings.upload_form_s),
            capacity_bytes=settings.upload_capacity_bytes,
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While a form arrives, from whoever: strangers may fill these places and no others. Raises GatewayError."""
        if self._reading >= self.tools.settings.uploads_at_once:
            raise GatewayError("overloaded", "too many files are being uploaded just now", retry_after_s=1)
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1

    async def take(self, intent: Upload) -> Uploaded:
        """Keeps the file, once it is proved that it may come and that it is an image. Raises GatewayError: 403, 413,
        429, 400 for what is no image, `upload_exists` for another file of that name."""
        policy, blob = self._allowed(intent), intent.content
        media_type = _proved(blob)
        name = stored_name(policy.workspace_id, intent.name)
        now_ms = self.tools.clock.now_ms()
        expires_ms = now_ms + int(self.tools.settings.keep_uploads_s * 1000)
        uploaded = Uploaded(SCHEME + intent.name)
        try:
            if (known := await self._known(name, now_ms)) is not None:
                if known.etag == (await digest(blob)).hex():
                    return uploaded
                message = f'there is a file "{intent.name}" already; name this one otherwise'
                raise GatewayError("upload_exists", message, param="key")
            share = self._share(policy.workspace_id, now_ms)
            share.add(blob.decoded_bytes, expires_ms)
            await self.tools.objects.put(name, decoded(blob), media_type=media_type, expires_ms=expires_ms)
        except OSError as error:
            logger().error(events.MEDIA_FAILED, detail=str(error))
            raise GatewayError("overloaded", "the file could not be kept just now", retry_after_s=1) from error
        return uploaded

    def _allowed(self, intent: Upload) -> Policy:
        tools, sent = self.tools, intent.fields
        packed = sent.get("policy", "")
        if not is_signed(tools.signer, packed, key=sent.get("key", ""), signature=sent.get("signature", "")):
            message = "the policy's signature does not fit; send the form's fields as they were given"
            raise GatewayError("signature_invalid", message)
        policy = unpack(packed)
        if policy.until_ms <= tools.clock.now_ms():
            raise GatewayError("signature_invalid", "this upload form has expired; ask for a new one")
        folder = policy.folder + "/"
        if not intent.name.startswith(folder) or not len(folder) < len(intent.name) <= MOST_NAME_CHARS:
            accepted = f'"{folder}" and a file name, at most {MOST_NAME_CHARS} characters in all'
            raise InvalidRequest(Problem("key", "invalid_value", f"key must be {accepted}", (accepted,)))
        if intent.content.decoded_bytes > policy.max_bytes:
            raise GatewayError("body_too_large", f"the file is larger than the {policy.max_bytes:,} bytes taken here")
        return policy

    async def _known(self, name: str, now_ms: int) -> StoredObject | None:
        found = await self.tools.objects.find(name)
        return found if found is not None and found.expires_ms > now_ms else None

    def _share(self, workspace_id: str, now_ms: int) -> Share:
        """Shares of nothing are forgotten when somebody asks."""
        for share in self._shares.values():
            share.forget(now_ms)
        self._shares = {owner: share for owner, share in self._shares.items() if share.used_bytes}
        return self._shares.setdefault(workspace_id, Share(self.tools.settings.upload_capacity_bytes))


@dataclass(slots=True)
class Share:
    """What one workspace's uploads take up, as far as they came through this process. One that then could not be kept
    counts all the same: the error is on the safe side."""

    capacity_bytes: int
    used_bytes: int = 0
    _entries: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, size_bytes: int, expires_ms: int) -> None:
        """Raises GatewayError 429 when there is no room."""
        whole_bytes = -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
        if self.used_bytes + whole_bytes > self.capacity_bytes:
            message = f"this workspace's uploads take up the {self.capacity_bytes:,} bytes there are for them"
            raise GatewayError("rate_limit_exceeded", message, retry_after_s=60)
        self.used_bytes += whole_bytes
        self._entries.append((expires_ms, whole_bytes))

    def forget(self, now_ms: int) -> None:
        while self._entries and self._entries[0][0] <= now_ms:
            self.used_bytes -= self._entries.popleft()[1]


def _proved(blob: Blob) -> str:
    """The media type of a whole image in a format that some model may read. Raises GatewayError."""
    facts = blob.facts
    if facts is None or facts.format not in MEDIA_TYPES or not facts.width or not facts.height:
        raise GatewayError("invalid_image", "the file is not an image that can be read", param="file")
    if not is_complete(facts, blob.head, blob.tail, blob.decoded_bytes):
        raise GatewayError("invalid_image", f"the file is a {facts.format} that was cut", param="file")
    return MEDIA_TYPES[facts.format]
