"""What a hostile or a broken client can do with a connection, over real sockets."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.serving.example import Running, running, settings_in, wait_for

HEAD = b"POST /v1/pages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"profile_id":"p","titles":["t0"]}'
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    bounds = {"request_seconds": 0.5, "max_header_bytes": 2_000, "max_headers": 20, "max_connections": 8}
    bounds["max_body_bytes"] = 1_000
    with running(settings_in(home, **bounds)) as found:
        yield found


def _connect(server: Running) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Read until the other side hangs up: the status and the body of the last answer."""
    text = b""
    try:
        while chunk := connection.recv(65536):
            text += chunk
    except ConnectionResetError:
        pass
    head, _, body = text.rpartition(b"\r\n\r\n")
    status = int(head[head.rindex(b"HTTP/1.1 ") + 9 :][:3])
    return status, json.loads(body)["error"]


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST /v1/pa", HEAD, HEAD + b"content-length: 1000\r\n\r\n" + BODY, WHOLE[:-1]],
    ids=["nothing", "first line", "headers", "body", "but one byte"],
)
def test_a_request_that_does_not_arrive_in_time_is_given_up(server: Running, begun: bytes) -> None:
    with _connect(server) as connection:
        began = time.monotonic()
        connection.sendall(begun)
        status, error = _answer(connection)
        assert 0.3 < time.monotonic() - began < 5
    assert status == 408
    assert "0.5 seconds" in str(error["message"])


def test_a_client_that_dribbles_is_given_up_too(server: Running) -> None:
    with _connect(server) as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        began = time.monotonic()
        try:
            while time.monotonic() - began < 5:
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - began < 3, "a byte now and then does not buy more time"


def test_a_connection_between_two_requests_may_rest_longer_than_a_request_may_take(server: Running) -> None:
    with _connect(server) as connection:
        for _ in range(2):
            connection.sendall(WHOLE)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.8)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"x-long: " + b"y" * 2_000 + b"\r\n\r\n",
        HEAD + b"x: y\r\n" * 20 + b"\r\n",
        b"GET /" + b"y" * 2_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        HEAD + b"x-endless: " + b"y" * 3_000,
        b"GET /" + b"y" * 3_000,
    ],
    ids=["long", "many", "long line", "endless header", "endless line"],
)
def test_headers_beyond_their_bounds_are_refused(server: Running, sent: bytes) -> None:
    with _connect(server) as connection:
        connection.sendall(sent)
        status, error = _answer(connection)
    assert (status, error["field"]) == (431, "headers")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"0\r\nx-trailer: y\r\n\r\n", 431),
        (b"0\r\nx-endless: " + b"y" * 9_000, 413),
        (b"1;" + b"y" * 9_000, 413),
    ],
    ids=["trailer", "endless trailer", "endless chunk"],
)
def test_what_comes_around_a_body_in_chunks_is_bounded_too(server: Running, sent: bytes, status: int) -> None:
    with _connect(server) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n" + sent)
        assert _answer(connection)[0] == status


def test_a_body_in_chunks_of_one_byte_is_read(server: Running) -> None:
    with _connect(server) as connection:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_request_that_was_answered_gets_no_second_answer(server: Running) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    for rest in (b"1;" + b"y" * 9_000, b"1\r\nx\r\n"):  # too much, and never an end
        with _connect(server) as connection:
            connection.sendall(head)
            text = connection.recv(65536)
            connection.sendall(rest)
            try:
                while chunk := connection.recv(65536):
                    text += chunk
            except ConnectionResetError:
                pass
        assert text.count(b"HTTP/1.1 ") == 1, text
        assert text.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("after", [b"", WHOLE], ids=["new", "used"])
def test_an_empty_line_keeps_no_connection(server: Running, after: bytes) -> None:
    with _connect(server) as connection:
        if after:
            connection.sendall(after)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        connection.sendall(b"\r\n")
        while connection.recv(65536):
            pass
        assert 0.3 < time.monotonic() - began < 5


def test_requests_that_lie_across_packets_each_have_their_own_time(server: Running) -> None:
    with _connect(server) as connection:
        text, n = b"", 8
        connection.sendall(WHOLE[:20])
        for place in range(n):
            time.sleep(0.1)
            connection.sendall(WHOLE[20:] + (WHOLE[:20] if place < n - 1 else b""))
        while text.count(b"HTTP/1.1 200") < n:
            chunk = connection.recv(65536)
            assert chunk, text[-300:]
            text += chunk
    assert b"HTTP/1.1 408" not in text


def test_requests_that_come_in_one_packet_do_not_count_together(server: Running) -> None:
    with _connect(server) as connection:
        connection.sendall(WHOLE * 30 + WHOLE[:20])
        connection.sendall(WHOLE[20:])
        text = b""
        while text.count(b"HTTP/1.1 200") < 31:
            chunk = connection.recv(65536)
            assert chunk, text[-300:]
            text += chunk


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"HELO x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://x:99999999/ HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(server: Running, sent: bytes) -> None:
    with _connect(server) as connection:
        connection.sendall(sent)
        assert _answer(connection)[0] == 400


def test_more_connections_than_allowed_are_turned_away_and_those_who_are_in_are_served(server: Running) -> None:
    server.client.close()
    held = [_connect(server) for _ in range(8)]
    try:
        held[0].sendall(WHOLE)
        assert held[0].recv(65536).startswith(b"HTTP/1.1 200")
        with _connect(server) as late:
            assert _answer(late)[0] == 503
    finally:
        for connection in held:
            connection.close()

    def is_let_in() -> bool:
        with _connect(server) as again:
            again.sendall(WHOLE)
            return again.recv(65536).startswith(b"HTTP/1.1 200")

    wait_for(is_let_in)
