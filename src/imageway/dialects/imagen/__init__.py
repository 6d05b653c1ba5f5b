"""Google's predict as Vertex AI and AI Studio serve it for image models: pictures, edits by reference, enlargements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.intents import Answer, Dialect, Generate, Generated, Intent, Outcome, Picture, Route, Where
from imageway.dialects.imagen.decode import decode
from imageway.dialects.imagen.fields import REASONS, TABLE
from imageway.dialects.shared.answers import error_headers, in_place, told
from imageway.dialects.shared.cloud import HOUSES, credential, status_body, status_of

REFUSED: Final = "content_policy_violation"


def encode(intent: Intent, outcome: Outcome) -> Answer:
    if isinstance(intent, Generate) and isinstance(outcome, Generated):
        found = [_prediction(each) for each in outcome.pictures]
        if intent.shape == REASONS:
            lost = [each for each in outcome.missing if each.code == REFUSED]
            found = in_place(found, [(each.place, {"raiFilteredReason": each.message}) for each in lost])
        return Answer(200, {"predictions": found}, told(outcome))
    raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")


def _prediction(picture: Picture) -> Tree:
    found: dict[str, Tree] = {"mimeType": picture.media_type, "bytesBase64Encoded": picture.blob}
    return found if picture.revised_prompt is None else found | {"prompt": picture.revised_prompt}


def encode_error(where: Where, error: GatewayError) -> Answer:
    request_id = error.request_id or where.request_id
    status = status_of(where.route, error)
    return Answer(status, status_body(where.route, error, request_id), error_headers(request_id, error))


def schema(route: str) -> Mapping[str, Tree]:
    return TABLE.schema()


DIALECT: Final = Dialect(
    name="imagen",
    routes=tuple(
        Route(f"{house}.predict", "POST", f"{place}/models/{{model}}:predict", "Images from a prompt.")
        for house, place in HOUSES.items()
    ),
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    schema=schema,
)
