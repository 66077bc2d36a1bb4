"""Servers to test against: ones of our own where their programs are installed, else ones that are running already."""

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.example import free_port
from tests.serving.online_stores import redis_answers, redis_server

_REDIS_HOW = (
    "install redis-server, or run `docker run --rm -p 6379:6379 redis:8.2.2-bookworm`, or set MARQUEE_REDIS=host:port"
)
_POSTGRES_HOW = (
    "install PostgreSQL, or run `docker run --rm -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust "
    "postgres:17.6-bookworm`, or set MARQUEE_POSTGRES=postgresql://…"
)


@pytest.fixture(scope="session")
def redis_program() -> str:
    """Where redis-server is; tests that stop and start one are skipped, or failed where services are required."""
    return shutil.which("redis-server") or _without("redis-server is not installed: install redis-server")


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host:port of a Redis that answers; tests that need one are skipped, or failed where services are required."""
    program = shutil.which("redis-server")
    if program is None:
        address = os.environ.get("MARQUEE_REDIS", "localhost:6379")
        if not redis_answers(address):
            _without(f"no Redis: redis-server is not installed and nothing answers at {address}; {_REDIS_HOW}")
        yield address
        return
    with redis_server(program, tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL that answers, started if there is none; else tests are skipped, or failed if required."""
    try:
        import psycopg  # noqa: F401 - the extra `postgres`
    except ImportError:
        _without("psycopg is not installed: the development environment brings it (`make test`)")
    running = os.environ.get("MARQUEE_POSTGRES", "postgresql://postgres@localhost:5432/postgres")
    if _postgres_answers(running):
        yield running
        return
    binaries = _postgres_binaries()
    if binaries is None:
        _without(f"no PostgreSQL answers at {running}, and none is installed; {_POSTGRES_HOW}")
    # PostgreSQL does not run as root: there, it runs as the user that its package brings.
    as_user = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    home, port = Path(tempfile.mkdtemp(prefix="marquee-postgres-")), free_port()
    if as_user:
        shutil.chown(home, "postgres")
    _run(*as_user, binaries / "initdb", "-D", home / "data", "--auth=trust", "--username=postgres", "--no-sync")
    control = [*as_user, binaries / "pg_ctl", "-D", home / "data", "-w"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
    _run(*control, "-l", home / "log", "-o", options, "start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        _run(*control, "-m", "immediate", "stop")
        shutil.rmtree(home)


def _without(message: str) -> str:
    if os.environ.get("MARQUEE_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def _postgres_answers(url: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _postgres_binaries() -> Path | None:
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in found if (path / "initdb").is_file()), None)


def _run(*command: object) -> None:
    # Not through pipes: the server that is started would hold them open.
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
