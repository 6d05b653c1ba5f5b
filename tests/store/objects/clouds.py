"""Google Cloud Storage and Azure Blob Storage as far as a media store asks for them, on loopback: objects in a dict,
listings as XML, Azure's deletion of many at once. They check no credential; who sent one is written down."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Cloud:
    """`objects`: contents and described headers, by bucket and name. `credentials`: what came as `authorization`."""

    url: str = ""
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    credentials: set[str | None] = field(default_factory=set)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: ClassVar[Cloud]
    kept: ClassVar[str]  # how names of headers begin that come back

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  # the library's own name

    @property
    def place(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    @property
    def query(self) -> Mapping[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.cloud.credentials.add(self.headers.get("authorization"))
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_PUT(self) -> None:
        content = self.body()
        kept = {name.lower(): value for name, value in self.headers.items() if name.lower().startswith(self.kept)}
        for name in ("content-type", "content-disposition"):
            value = self.headers.get(f"x-ms-blob-{name}") or self.headers.get(name)
            kept |= {name: value} if value else {}
        self.cloud.objects[self.place] = content, kept
        self.answer(201 if self.kept == "x-ms-meta-" else 200, headers={"etag": '"1"'})

    def do_GET(self) -> None:
        if "delimiter" in self.query or "prefix" in self.query or "comp" in self.query:
            self.answer(200, self.listing().encode(), {"content-type": "application/xml"})
        elif (found := self.cloud.objects.get(self.place)) is None:
            self.answer(404)
        else:
            self.give(*found)

    def do_HEAD(self) -> None:
        self.do_GET()

    def give(self, content: bytes, kept: Mapping[str, str]) -> None:
        told = {**kept, "etag": '"1"', "last-modified": formatdate(usegmt=True), "x-ms-creation-time": formatdate()}
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range") or self.headers.get("x-ms-range") or "")
        if part is None:
            self.answer(200, content, {**told, "content-length": str(len(content))})
            return
        start, end = int(part[1]), min(int(part[2]) + 1, len(content))
        self.answer(206, content[start:end], {**told, "content-range": f"bytes {start}-{end - 1}/{len(content)}"})

    def do_DELETE(self) -> None:
        status = 202 if self.kept == "x-ms-meta-" else 204
        self.answer(status if self.cloud.objects.pop(self.place, None) else 404)

    def listed(self) -> tuple[list[str], list[str]]:
        """Names and common prefixes below the prefix that is asked for."""
        bucket, prefix, mark = self.place.rstrip("/"), self.query.get("prefix", ""), self.query.get("delimiter")
        names = [name.removeprefix(f"{bucket}/") for name in sorted(self.cloud.objects)]
        below = [name for name in names if name.startswith(prefix)]
        if not mark:
            return below, []
        deeper = {name for name in below if mark in name[len(prefix) :]}
        folders = sorted({prefix + name[len(prefix) :].partition(mark)[0] + mark for name in deeper})
        return [name for name in below if name not in deeper], folders

    def listing(self) -> str:
        raise NotImplementedError


class Google(_Handler):
    kept = "x-goog-meta-"

    def listing(self) -> str:
        names, folders = self.listed()
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"1"</ETag><Size>1</Size></Contents>'
            for name in names
        )
        rows += "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders)
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"


class Azure(_Handler):
    kept = "x-ms-meta-"

    def listing(self) -> str:
        names, folders = self.listed()
        about = "<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Content-Length>1</Content-Length>"
        about += "<Content-Type>text/plain</Content-Type><Etag>1</Etag>"
        rows = "".join(f"<Blob><Name>{escape(n)}</Name><Properties>{about}</Properties></Blob>" for n in names)
        rows += "".join(f"<BlobPrefix><Name>{escape(folder)}</Name></BlobPrefix>" for folder in folders)
        return f"<EnumerationResults><Blobs>{rows}</Blobs><NextMarker/></EnumerationResults>"

    def do_POST(self) -> None:
        """A batch of deletions."""
        paths = re.findall(r"^DELETE (\S+) HTTP", self.body().decode(), re.MULTILINE)
        answers = []
        for number, path in enumerate(paths):
            gone = self.cloud.objects.pop(unquote(urlsplit(path).path).lstrip("/"), None)
            status = "202 Accepted" if gone else "404 Not Found"
            head = f"content-type: application/http\r\ncontent-id: {number}\r\n\r\nHTTP/1.1 {status}\r\n"
            answers.append(f"--b\r\n{head}x-ms-request-id: 1\r\n\r\n")
        content = "".join([*answers, "--b--\r\n"]).encode()
        self.answer(202, content, {"content-type": "multipart/mixed; boundary=b"})


@contextmanager
def cloud(kind: type[_Handler]) -> Iterator[Cloud]:
    made = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (kind,), {"cloud": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
