"""One connection for all: answers in order, failures in time, and a Redis that comes back is read again."""

import asyncio
import itertools
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from models.error import ContractError
from serving.newest_redis_online_store import _address
from serving.redis_pipe import RedisPipe
from tests.serving.example import free_port
from tests.serving.online_stores import redis_server


def _fill(port: int) -> None:
    with Redis("127.0.0.1", port) as client:
        for n in range(200):
            client.hset(f"k{n}", mapping={"a": f"a{n}" * 500, "b": f"b{n}"})


def _expected(n: int) -> list[bytes | None]:
    return [f"a{n}".encode() * 500, f"b{n}".encode(), None]


async def _read(pipe: RedisPipe, n: int) -> list[bytes | None]:
    return await pipe.hmget(f"k{n}".encode(), [b"a", b"b", b"c"])


def test_each_of_many_at_once_gets_its_own_answer(redis_program: str, tmp_path: Path) -> None:
    port = free_port()

    async def all_at_once() -> None:
        pipe = RedisPipe("127.0.0.1", port, timeout_seconds=5)
        found = await asyncio.gather(*(_read(pipe, n) for n in range(200)))
        assert found == [_expected(n) for n in range(200)]
        assert await pipe.hmget(b"nobody", [b"a", b"b"]) == [None, None]
        pipe.close()

    with redis_server(redis_program, tmp_path, port):
        _fill(port)
        asyncio.run(all_at_once())


def test_a_refusal_is_told_to_whoever_asked_and_to_nobody_else(redis_program: str, tmp_path: Path) -> None:
    port = free_port()

    async def ask() -> None:
        pipe = RedisPipe("127.0.0.1", port, timeout_seconds=5)
        good, bad, also_good = await asyncio.gather(
            _read(pipe, 1), pipe.hmget(b"text", [b"a"]), _read(pipe, 2), return_exceptions=True
        )
        assert (good, also_good) == (_expected(1), _expected(2))
        assert isinstance(bad, RedisError)
        assert "WRONGTYPE" in str(bad)
        pipe.close()

    with redis_server(redis_program, tmp_path, port):
        _fill(port)
        with Redis("127.0.0.1", port) as client:
            client.set("text", "no hash")
        asyncio.run(ask())


def test_a_redis_that_dies_fails_at_once_and_one_that_is_back_answers(redis_program: str, tmp_path: Path) -> None:
    port = free_port()

    async def live_on() -> None:
        pipe = RedisPipe("127.0.0.1", port, timeout_seconds=1)
        with redis_server(redis_program, tmp_path, port):
            _fill(port)
            assert await _read(pipe, 1) == _expected(1)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(RedisConnectionError):
                await _read(pipe, 1)
        assert time.monotonic() - began < 5, "a time-out each is twenty"
        with redis_server(redis_program, tmp_path, port):
            _fill(port)
            await asyncio.sleep(0.1)
            assert await asyncio.gather(*(_read(pipe, n) for n in range(50))) == [_expected(n) for n in range(50)]
            pipe.close()

    asyncio.run(live_on())


def test_a_redis_that_says_nothing_costs_the_time_out_whoever_gave_up_before() -> None:
    async def wait() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
            pipe = RedisPipe("127.0.0.1", silent.getsockname()[1], timeout_seconds=0.5)
            began = time.monotonic()
            waiting = [asyncio.ensure_future(_read(pipe, n)) for n in range(10)]
            await asyncio.sleep(0.02)
            waiting[3].cancel()
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert time.monotonic() - began < 3, "one after the other is five"
            assert isinstance(found[3], asyncio.CancelledError)
            assert all(isinstance(each, RedisTimeoutError) for n, each in enumerate(found) if n != 3)

    asyncio.run(wait())


def test_a_redis_that_says_nothing_while_it_is_connected_to_costs_a_page_no_more_than_a_reading() -> None:
    async def wait() -> float:
        with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
            port = silent.getsockname()[1]
            pipe = RedisPipe("127.0.0.1", port, timeout_seconds=0.05, password="unheard")
            began = time.monotonic()
            with pytest.raises(RedisTimeoutError, match=r"more than 0\.05 seconds"):
                await _read(pipe, 1)
            return time.monotonic() - began

    # The least of three: connecting alone may take a second.
    assert min(asyncio.run(wait()) for _ in range(3)) < 0.7


def test_an_answer_that_came_while_the_loop_was_held_up_is_no_late_one(redis_program: str, tmp_path: Path) -> None:
    port = free_port()

    async def hold_up() -> None:
        pipe = RedisPipe("127.0.0.1", port, timeout_seconds=0.1)
        await _read(pipe, 1)
        for n in range(5):
            waiting = [asyncio.ensure_future(_read(pipe, n)) for _ in range(3)]
            await asyncio.sleep(0.001)
            time.sleep(0.15)
            assert await asyncio.gather(*waiting) == [_expected(n)] * 3
        pipe.close()

    with redis_server(redis_program, tmp_path, port):
        _fill(port)
        asyncio.run(hold_up())


def test_a_redis_that_answers_ever_later_costs_nobody_more_than_the_time_out() -> None:
    # In answers and not by the clock: half a millisecond each, and none while the machine itself stands still.
    answers = itertools.count()

    async def ask() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(2**20)
            for _ in itertools.takewhile(lambda n: n < 2_000, answers):
                writer.write(b"*1\r\n$1\r\na\r\n")
                await writer.drain()
                await asyncio.sleep(0.0005)

        async def one(pipe: RedisPipe) -> None:
            with suppress(RedisTimeoutError):
                await pipe.hmget(b"k", [b"a"])

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            pipe = RedisPipe("127.0.0.1", server.sockets[0].getsockname()[1], timeout_seconds=0.05)
            await one(pipe)
            await asyncio.gather(*(one(pipe) for _ in range(1_000)))
            assert next(answers) < 300
            pipe.close()

    asyncio.run(ask())


def test_a_redis_that_refuses_the_password_is_asked_now_and_then_on_a_connection_that_is_closed_again() -> None:
    n_met, is_open = 0, set()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_met
        n_met += 1
        is_open.add(writer)
        with suppress(ConnectionError):
            while await reader.read(2**16):
                writer.write(b"-WRONGPASS invalid username-password pair\r\n-NOAUTH Authentication required.\r\n")
                await writer.drain()
        is_open.discard(writer)
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            pipe = RedisPipe("127.0.0.1", port, timeout_seconds=2, password="old", db=1)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                with pytest.raises(RedisConnectionError, match=r"WRONGPASS|a moment ago"):
                    await pipe.hmget(b"k", [b"a"])
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            assert (1 < n_met < 5, len(is_open)) == (True, 0)

    asyncio.run(ask())


@pytest.mark.parametrize("hello", [{}, {"password": "x", "db": 1}], ids=["at-once", "with-a-password-and-a-database"])
def test_connecting_may_take_longer_than_a_reading(hello: dict[str, Any]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while said := await reader.read(2**16):
            commands.feed(said)
            while (command := commands.gets()) is not False:
                told = b"*1\r\n$1\r\na\r\n" if command[0] == b"HMGET" else b"+OK\r\n"
                asyncio.get_running_loop().call_later(0.0 if command[0] == b"HMGET" else 0.3, writer.write, told)
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            pipe = RedisPipe("127.0.0.1", server.sockets[0].getsockname()[1], timeout_seconds=0.1, **hello)
            end, found = time.monotonic() + 20, None
            while found is None and time.monotonic() < end:
                with suppress(RedisTimeoutError, RedisConnectionError):
                    found = await pipe.hmget(b"k", [b"a"])
            assert found == [b"a"]
            pipe.close()
            await asyncio.sleep(0.1)

    asyncio.run(ask())


def test_once_connected_an_answer_is_waited_for_no_longer_than_a_reading_may_take() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2**16)
        writer.write(b"+OK\r\n")
        while await reader.read(2**16):
            pass
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            pipe = RedisPipe("127.0.0.1", port, timeout_seconds=0.05, password="x")
            link = await pipe._connected()
            began = time.monotonic()
            with pytest.raises(RedisTimeoutError):
                await link.ask((b"HMGET", b"k", b"a"))
            assert time.monotonic() - began < 0.7, "what connecting may take is a second"
            await asyncio.sleep(0.1)

    asyncio.run(ask())


@pytest.mark.parametrize("password", ["1234567890123456", "1e5", "007", "plain"])
def test_a_password_is_sent_as_it_is_written(password: str) -> None:
    assert _address(f"localhost:6379,db=2,password={password}") == {
        "host": "localhost",
        "port": 6379,
        "db": 2,
        "password": password,
    }


@pytest.mark.parametrize(
    "connection_string", ["localhost:secret", "localhost:6379,password=a,secret", "localhost:6379,password=a,secret=b"]
)
def test_an_address_that_cannot_be_read_is_refused_without_telling_a_password(connection_string: str) -> None:
    with pytest.raises(ContractError, match="connection_string of Redis must") as raised:
        _address(connection_string)
    assert "secret" not in str(raised.value)


def test_what_is_no_redis_is_told_so() -> None:
    async def ask() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            pipe = RedisPipe("127.0.0.1", server.sockets[0].getsockname()[1], timeout_seconds=2)
            with pytest.raises(RedisConnectionError, match="no Redis"):
                await _read(pipe, 1)

    asyncio.run(ask())
