"""Conversations: turns read from `contents` or from nested messages, and what a model without turns gets from them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from imageway.core.blobs import Blob, Tree
from imageway.core.requests import ImageInput, Turn
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.images import PARTS, read_image

ROLES: Final = {"user": "user", "model": "model", "assistant": "model"}
PART_FORMS: Final = ("{text}", *(f"{{{name}}}" for name in PARTS))
SIGNATURES: Final = ("thoughtSignature", "thought_signature")

Part = str | ImageInput


class Ask(Struct, frozen=True):
    """What is asked for. `turns` is empty where prompt and images say it all."""

    prompt: str | None
    images: tuple[ImageInput, ...]
    turns: tuple[Turn, ...] = ()


def read_turns(entries: list[Tree], path: str, findings: Findings) -> tuple[Turn, ...]:
    """Each entry is `{role, parts}` or `{role, content}`; an absent role is the user's."""
    turns = []
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            turns.append(_read_turn(entry, f"{path}[{index}]", findings))
        else:
            findings.wrong(f"{path}[{index}]", entry, ("an object with role and parts",), code="invalid_type")
    return tuple(turns)


def _read_turn(entry: dict[str, Tree], path: str, findings: Findings) -> Turn:
    key = "parts" if entry.get("content") is None else "content"
    findings.unknown(entry, ("role", key), path)
    role, parts = _read_role(entry, path, findings), entry.get(key)
    if isinstance(parts, str) and key == "content":
        return Turn(role, (parts,))
    if isinstance(parts, dict):
        parts = [parts]
    if not isinstance(parts, list):
        findings.wrong(f"{path}.{key}", parts, ("a list of parts",), code="invalid_type")
        parts = []
    found, signatures = _read_parts(parts, f"{path}.{key}", findings)
    return Turn(role, found, signatures)


def _read_role(entry: dict[str, Tree], path: str, findings: Findings) -> str:
    role = entry.get("role")
    name = "user" if role is None else ROLES.get(role) if isinstance(role, str) else None
    if name is None:
        findings.wrong(f"{path}.role", role, ("user", "model"))
    return name or "user"


def _read_parts(parts: list[Tree], path: str, findings: Findings) -> tuple[tuple[Part, ...], Mapping[int, Blob | str]]:
    found: list[Part] = []
    signatures: dict[int, Blob | str] = {}
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            findings.wrong(f"{path}[{index}]", part, PART_FORMS, code="invalid_type")
        elif part.get("thought") is True:
            findings.ignored(f"{path}[{index}]", "a model is not told its thoughts again")
        else:
            signature = _read_signature(part, f"{path}[{index}]", findings)
            pieces = _read_part(part, f"{path}[{index}]", findings)
            found += pieces or ([""] if signature is not None else [])
            if signature is not None:
                signatures[len(found) - 1] = signature
    return tuple(found), MappingProxyType(signatures)


def _read_signature(part: dict[str, Tree], path: str, findings: Findings) -> Blob | str | None:
    """What a provider put beside a part to know its own thoughts by: base64, never looked into."""
    for name in SIGNATURES:
        match part.get(name):
            case str() | Blob() as signature:
                return signature
            case None:
                continue
            case wrong:
                findings.wrong(f"{path}.{name}", wrong, ("base64",), code="invalid_type")
    return None


def _read_part(part: dict[str, Tree], path: str, findings: Findings) -> list[Part]:
    """Text and image of one part, in the order of its keys; usually it has one of them."""
    found: list[Part] = []
    present = {name: value for name, value in part.items() if value is not None}
    for name, value in present.items():
        if name == "text" and isinstance(value, str):
            found += [value] if value else []
        elif name == "text":
            findings.wrong(f"{path}.text", value, ("a string",), code="invalid_type")
        elif name in PARTS:
            found.append(read_image(value, f"{path}.{name}", findings))
    if not {"text", *PARTS} & present.keys():
        findings.problem("invalid_value", path, f"{path} holds neither text nor an image", PART_FORMS)
    findings.unknown(present, ("text", "type", "thought", *SIGNATURES, *PARTS), path)
    return found


def combine(prompt: str | None, images: tuple[ImageInput, ...], turns: tuple[Turn, ...], findings: Findings) -> Ask:
    """The fields `prompt` and `image` beside a conversation belong to its last user turn. A prompt that only repeats
    what the conversation says is used once; one that differs goes first, with a warning."""
    if not turns:
        return Ask(prompt if prompt and prompt.strip() else None, images)
    said = "\n".join(_texts(turns))
    own = prompt if prompt and prompt.strip() and prompt not in (said, *_texts(turns[-1:])) else None
    if own and said:
        message = "prompt and the conversation carry different text: both are used, the prompt first"
        findings.warn("prompt_and_contents", "prompt", message)
    text = f"{own}\n{said}" if own and said else own or said
    whole = _with_front(turns, images if own is None else (own, *images))
    needed = len(whole) > 1 or any(map(_interleaves, turns))
    return Ask(text if text.strip() else None, images + _flat_images(turns), whole if needed else ())


def _texts(turns: tuple[Turn, ...]) -> list[str]:
    return [part for turn in turns if turn.role == "user" for part in turn.parts if part and isinstance(part, str)]


def _flat_images(turns: tuple[Turn, ...]) -> tuple[ImageInput, ...]:
    """The user's images and the last one of the model's, in order of appearance."""
    images = [(turn.role, part) for turn in turns for part in turn.parts if not isinstance(part, str)]
    last = max((index for index, (role, _) in enumerate(images) if role == "model"), default=None)
    return tuple(image for index, (role, image) in enumerate(images) if role == "user" or index == last)


def _with_front(turns: tuple[Turn, ...], front: tuple[Part, ...]) -> tuple[Turn, ...]:
    """`front` goes before what the last user turn says; a conversation that the model ended gets a new user turn."""
    if not front or not turns:
        return turns
    *before, last = turns
    if last.role != "user":
        return (*turns, Turn("user", front))
    return (*before, put_before(front, last))


def put_before(front: tuple[Part, ...], turn: Turn) -> Turn:
    """The turn with more parts at its beginning; its signatures stay with their own."""
    signatures = {index + len(front): signature for index, signature in turn.signatures.items()}
    return replace(turn, parts=front + turn.parts, signatures=MappingProxyType(signatures))


def _interleaves(turn: Turn) -> bool:
    """One entry says more than prompt and images only where images stand between texts."""
    return [is_text for is_text, _ in groupby(isinstance(part, str) for part in turn.parts)].count(True) > 1
