"""Requests put together: our own headers, the adapter's, the credential, and a body of known length."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode

from imageway.bodies import Payload, form_payload, json_payload, whole
from imageway.core.steps import FormBody, HttpRequest, JsonBody, Secret
from imageway.core.upstreams import Upstream
from imageway.transport.auth import Credential, scheme, secret
from imageway.transport.wire import Outgoing

_OWN_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "imageway"}
_WITH_BODY: Final = frozenset({"POST", "PUT"})
_URL_SAFE: Final = "!$%&'()*+,/:;=?@[]~"


def compose(url: str, request: HttpRequest, upstream: Upstream | None, granted: Credential | None = None) -> Outgoing:
    """The request to send to `url`. `upstream` None: a stranger gets no credential, and no `Secret` an adapter placed.
    `granted` goes in place of what its scheme would make of its key. Raises MissingCredential, ValueError for a body
    that cannot be written."""
    credential = Credential() if upstream is None else granted or scheme(upstream.auth)(upstream)
    headers = _OWN_HEADERS.copy()
    if request.headers:
        headers.update((name.lower(), text) for name, text in _filled(request.headers, upstream))
    headers.update(credential.headers)
    query = (*_filled(request.query, upstream), *credential.query) if request.query else credential.query
    payload = _payload(request.body)
    if payload is not None:
        headers["content-type"] = payload.content_type
        headers["content-length"] = str(payload.length)
    elif request.method in _WITH_BODY:
        headers["content-length"] = "0"  # RFC 9110, 8.6: else a server may wait for one
    return Outgoing(request.method, _with_query(url, query), headers, payload)


def post(url: str, headers: Mapping[str, str], content: bytes, media_type: str = "application/json") -> Outgoing:
    """What is written already, and perhaps signed: not a byte of it changes."""
    body = {"content-type": media_type, "content-length": str(len(content))}
    return Outgoing("POST", url, {**_OWN_HEADERS, **headers, **body}, whole(content, body["content-type"]))


@lru_cache(maxsize=1024)
def join(root: str, path: str) -> str:
    """`path` below `root`; what the adapter escaped stays, what it should have escaped is."""
    return root + quote(path, safe=_URL_SAFE, errors="backslashreplace")


def _filled(values: Mapping[str, str | Secret], upstream: Upstream | None) -> Iterator[tuple[str, str]]:
    for name, text in values.items():
        if not isinstance(text, Secret):
            yield name, text
        elif upstream is not None:
            yield name, secret(upstream, text.name)


def _with_query(url: str, query: tuple[tuple[str, str], ...]) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query, errors='replace', quote_via=quote)}"


def _payload(body: JsonBody | FormBody | None) -> Payload | None:
    if isinstance(body, JsonBody):
        return json_payload(body.tree)
    if isinstance(body, FormBody):
        return form_payload(body, f"imageway-{secrets.token_hex(16)}")
    return None
