"""Uploads of local files: a policy for a folder of one's own, and the object store that takes a form under it, which
talks as stores do: XML, and codes of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Final

from imageway.sandbox.answers import Json, bytes_answer
from imageway.sandbox.cabinets import Cabinet, MemoryCabinet
from imageway.sandbox.multipart import MalformedForm, boundary_of, read_form
from imageway.sandbox.orders import Incoming
from imageway.sandbox.upstreams.dashscope.limits import MODELS
from imageway.sandbox.upstreams.dashscope.words import Speaker
from imageway.sandbox.wire import SandboxAnswer

PATH: Final = "/uploads"
STORE_PATH: Final = "/oss"
SCHEME: Final = "oss://"
KEPT_BYTES: Final = 256 * 2**20
EXPIRE_S: Final = 300
MOST_MB: Final = 100
KEY_ID: Final = "sandbox"
_SECRET: Final = b"anybody may know the secret of a pretend store"


class UploadDesk:
    """`cabinet`: where files outlive this process; None: they end with it."""

    def __init__(self, speaker: Speaker, cabinet: Cabinet | None) -> None:
        self._speaker = speaker
        self._files: Cabinet = cabinet or MemoryCabinet(KEPT_BYTES)

    def grant(self, incoming: Incoming, owner: str) -> SandboxAnswer:
        """Raises Refusal."""
        if incoming.query.get("action") != "getPolicy":
            raise self._speaker.invalid("action should be getPolicy")
        model = incoming.query.get("model", "")
        if not model:
            raise self._speaker.refusal(400, "BadRequest.EmptyModel", 'Required parameter "model" missing.')
        if model not in MODELS:
            raise self._speaker.refusal(404, "ModelNotFound", "Model not exist.")
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        folder = f"dashscope-instant/{owner[:32]}/{day}/{self._speaker.new_id()}"
        policy = _packed(folder, time.time() + EXPIRE_S)
        data: Json = {
            "policy": policy,
            "signature": _signature(policy),
            "upload_dir": folder,
            "upload_host": f"{incoming.origin}/dashscope/api/v1{STORE_PATH}",
            "expire_in_seconds": EXPIRE_S,
            "max_file_size_mb": MOST_MB,
            "capacity_limit_mb": 999_999_999,
            "oss_access_key_id": KEY_ID,
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }
        return self._speaker.success({"data": data})

    async def take(self, incoming: Incoming) -> SandboxAnswer:
        """The form with the file; nobody's key is asked for. Raises NotKept."""
        boundary = boundary_of(incoming.headers.get("content-type", ""))
        try:
            parts = read_form(incoming.body, boundary or "")
        except MalformedForm:
            return _store_error(400, "MalformedPOSTRequest", "The body of your POST request is not well-formed.")
        texts = {part.name.lower(): part.text for part in parts if part.filename is None}
        files = [part.content for part in parts if part.name == "file"]
        if len(files) != 1:
            return _store_error(400, "IncorrectNumberOfFilesInPOSTRequest", "POST requires exactly one file upload.")
        key, policy = texts.get("key", ""), texts.get("policy", "")
        if texts.get("ossaccesskeyid") != KEY_ID or not hmac.compare_digest(
            _signature(policy).encode(), texts.get("signature", "").encode()
        ):
            message = "The request signature we calculated does not match the signature you provided."
            return _store_error(403, "SignatureDoesNotMatch", message)
        if wrong := _breach(policy, key, len(files[0])):
            return _store_error(*wrong)
        if texts.get("x-oss-forbid-overwrite") == "true" and await self._files.get(_name(key)) is not None:
            return _store_error(409, "FileAlreadyExists", "The object you specified already exists.")
        await self._files.put(_name(key), files[0])
        status = int(texts["success_action_status"]) if texts.get("success_action_status") in ("200", "201") else 204
        return bytes_answer(status, b"", (("server", "AliyunOSS"),))

    async def content(self, url: str, owner: str) -> bytes | None:
        """The file that `oss://…` names; None when there is none, or it is not this owner's."""
        key = url.removeprefix(SCHEME)
        if key.split("/")[1:2] != [owner[:32]]:
            return None
        return await self._files.get(_name(key))


def _packed(folder: str, until_s: float) -> str:
    moment = datetime.fromtimestamp(until_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [["content-length-range", 0, MOST_MB * 2**20], ["starts-with", "$key", folder + "/"]]
    return base64.b64encode(json.dumps({"expiration": moment, "conditions": conditions}).encode()).decode()


def _signature(policy: str) -> str:
    """As object stores sign forms: HMAC-SHA1 over the policy as it is sent."""
    return base64.b64encode(hmac.new(_SECRET, policy.encode(), hashlib.sha1).digest()).decode()


def _breach(policy: str, key: str, size_bytes: int) -> tuple[int, str, str] | None:
    """What of a signed policy is not kept."""
    said = json.loads(base64.b64decode(policy))
    (_, _, most_bytes), (_, _, folder) = said["conditions"]
    if datetime.fromisoformat(said["expiration"]) < datetime.now(UTC):
        return 403, "AccessDenied", "Invalid according to Policy: Policy expired."
    if not key.startswith(folder):
        return 403, "AccessDenied", 'Invalid according to Policy: Policy Condition failed: ["starts-with", "$key"]'
    if size_bytes > most_bytes:
        return 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."
    return None


def _name(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _store_error(status: int, code: str, message: str) -> SandboxAnswer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n'
    return bytes_answer(status, text.encode(), (("content-type", "application/xml"), ("server", "AliyunOSS")))
