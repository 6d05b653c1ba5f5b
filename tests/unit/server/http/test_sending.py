"""What lies in files goes from there to the client, at the client's pace and to the last byte or not at all."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from imageway.bodies import Run
from imageway.server.http import sending
from imageway.server.http.sending import Sender, WrongLength

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")

SIZE = 9_000_000
CONTENT = os.urandom(SIZE)
HEAD, END = b"HTTP/1.1 200 OK\r\n\r\n", b'"}'


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    return asyncio.DefaultEventLoopPolicy() if request.param == "asyncio" else uvloop.EventLoopPolicy()


class Line(asyncio.Protocol):
    """The server's end of one connection, and a sender on it."""

    def __init__(self) -> None:
        self.made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pauses = self.most_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.sender = Sender(asyncio.get_running_loop(), self.transport, stall_s=30)
        self.made.set_result(None)

    def pause_writing(self) -> None:
        self.pauses += 1
        self.most_bytes = max(self.most_bytes, self.transport.get_write_buffer_size())
        self.sender.pause()

    def resume_writing(self) -> None:
        self.sender.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.sender.resume()
        self.lost.set_result(None)


class Reading:
    """Both ends of a connection over 127.0.0.1; the client's is a socket that takes little ahead of its reader."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "content"
        self.path.write_bytes(CONTENT)
        self.file = os.open(self.path, os.O_RDONLY)
        self.before_last = 0

    async def __aenter__(self) -> Reading:
        loop = asyncio.get_running_loop()
        self.line = Line()
        self.server = await loop.create_server(lambda: self.line, "127.0.0.1", 0)
        self.client = socket.socket()
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.client.setblocking(False)
        await loop.sock_connect(self.client, self.server.sockets[0].getsockname())
        await self.line.made
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.close()
        self.line.transport.abort()
        self.server.close()
        await self.line.lost  # until then the loop holds descriptors
        os.close(self.file)

    async def pieces(self, *, size: int = SIZE) -> AsyncIterator[bytes | Run]:
        yield b'{"image":"'
        for at in range(0, size, 1 << 20):
            yield Run(self.file, at, min(1 << 20, size - at))
        yield END

    async def send(self, *, size: int = SIZE) -> bool:
        def before_last() -> None:
            self.before_last += 1

        return await self.line.sender.count(HEAD, 10 + size + 2, self.pieces(size=size), before_last)

    async def receive(self, size: int, *, pause_s: float = 0.0) -> bytes:
        got = b""
        while len(got) < size:
            piece = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.client, 1 << 16), 10)
            if not piece:
                break
            got += piece
            if pause_s:
                await asyncio.sleep(pause_s)
        return got


WHOLE = HEAD + b'{"image":"' + CONTENT + END


@pytest.mark.parametrize("pause_s", [0.0, 0.001])
async def test_a_reader_gets_every_byte_once_however_fast_it_is(tmp_path: Path, pause_s: float) -> None:
    async with Reading(tmp_path) as reading:
        sending_all = asyncio.create_task(reading.send())
        assert await reading.receive(len(WHOLE), pause_s=pause_s) == WHOLE
        assert await sending_all
        assert reading.before_last == 1
        assert reading.line.pauses > 0


async def test_who_reads_slowly_keeps_little_in_memory(tmp_path: Path) -> None:
    """What the transport may hold, and a piece of twice that when the socket is full: the rest stays where it lies."""
    async with Reading(tmp_path) as reading:
        sending_all = asyncio.create_task(reading.send())
        assert await reading.receive(len(WHOLE)) == WHOLE
        assert await sending_all
        assert sending.HIGH_WATER_BYTES == 65536
        assert 65536 < reading.line.most_bytes <= 3 * 65536


async def test_it_does_not_go_through_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and written by us are only pieces of what the socket had no room for."""
    read = 0
    pread = os.pread

    def count(descriptor: int, size: int, at: int) -> bytes:
        nonlocal read
        read += size
        return pread(descriptor, size, at)

    async with Reading(tmp_path) as reading:
        reading.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        monkeypatch.setattr(os, "pread", count)
        sending_all = asyncio.create_task(reading.send())
        assert await reading.receive(len(WHOLE)) == WHOLE
        assert await sending_all
        assert read < SIZE / 2


async def test_what_cannot_be_taken_from_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without the call; a layer above the socket."""

    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    async with Reading(tmp_path) as reading:
        monkeypatch.setattr(os, "sendfile", refuse)
        sending_all = asyncio.create_task(reading.send())
        assert await reading.receive(len(WHOLE)) == WHOLE
        assert await sending_all


async def test_nothing_goes_past_a_layer_above_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Reading(tmp_path) as reading:
        known = reading.line.transport.get_extra_info
        told = {"sslcontext": object()}

        class Layered:
            def __getattr__(self, name: str) -> Any:
                return getattr(reading.line.transport, name)

            def get_extra_info(self, name: str) -> Any:
                return told.get(name) or known(name)

        reading.line.sender = Sender(asyncio.get_running_loop(), cast("Any", Layered()), stall_s=30)
        monkeypatch.setattr(os, "sendfile", lambda *_: pytest.fail("it went past"))
        sending_all = asyncio.create_task(reading.send())
        assert await reading.receive(len(WHOLE)) == WHOLE
        assert await sending_all


async def test_who_leaves_in_the_middle_did_not_get_it(tmp_path: Path) -> None:
    async with Reading(tmp_path) as reading:
        sending_all = asyncio.create_task(reading.send())
        await reading.receive(1 << 20)
        reading.client.close()
        assert not await asyncio.wait_for(sending_all, 10)
        assert reading.before_last == 0


async def test_a_file_that_was_cut_is_an_error_before_the_last_byte(tmp_path: Path) -> None:
    async with Reading(tmp_path) as reading:
        os.truncate(reading.path, 2_500_000)
        sending_all = asyncio.create_task(reading.send())
        taken = asyncio.create_task(reading.receive(len(WHOLE)))
        with pytest.raises(OSError, match="something cut it"):
            await asyncio.wait_for(sending_all, 10)
        taken.cancel()
        await asyncio.gather(taken, return_exceptions=True)
        assert reading.before_last == 0


async def test_a_run_at_the_very_end_is_the_last_to_be_written(tmp_path: Path) -> None:
    async with Reading(tmp_path) as reading:

        async def pieces() -> AsyncIterator[bytes | Run]:
            yield Run(reading.file, 0, 1000)

        said = []
        assert await reading.line.sender.count(HEAD, 1000, pieces(), lambda: said.append(1))
        assert await reading.receive(len(HEAD) + 1000) == HEAD + CONTENT[:1000]
        assert said == [1]


async def test_runs_that_are_not_of_the_length_told_are_an_error(tmp_path: Path) -> None:
    async with Reading(tmp_path) as reading:
        asked = asyncio.create_task(reading.line.sender.count(HEAD, SIZE, reading.pieces(size=1000), lambda: None))
        with pytest.raises(WrongLength):
            await asked
