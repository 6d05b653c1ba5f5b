"""What is said of a connection that failed: what the system calls it, and nothing that could hold a key."""

from __future__ import annotations

import ssl

import pytest

from imageway.transport.connections import reason


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ConnectionResetError(104, "//a.example/?key=sk-test-1"), "ConnectionResetError: Connection reset by peer"),
        (ConnectionResetError("https://a.example/?key=sk-test-1"), "ConnectionResetError"),
        (BrokenPipeError(32, ""), "BrokenPipeError: Broken pipe"),
        (ssl.SSLError(1, "[SSL: BAD_RECORD] sk-test-1"), "SSLError"),
        (RuntimeError("the handler is closed"), "RuntimeError: the handler is closed"),
    ],
)  # fmt: skip
def test_a_failure_is_named(failure: Exception, words: str) -> None:
    assert reason(failure) == words


def test_the_number_of_a_tls_error_is_not_one_of_the_system() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(b"HTTP/1.1 200 OK\r\n\r\n")
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLError) as failed:
        client.do_handshake()
    assert reason(failed.value) == "SSLError: WRONG_VERSION_NUMBER"
