"""A client that asks one server for pages as fast as it answers, or at a rate: a process of its own, out of sockets.

    python -m benchmarks.serve_load PORT --titles 1000 --clients 16 --seconds 3 [--rate 500]

It prints one JSON object: pages, seconds, and latencies in milliseconds. At a rate, a page's time begins when it was
due, whether or not a connection was free to ask for it then.
"""

import argparse
import json
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

N_PROFILES = 1_000
N_TITLES_A_PAGE = 40
_N_REQUESTS = 400


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    began: float = 0.0
    waiting: int = -1
    received: bytearray = field(default_factory=bytearray)


def requests(n_titles: int, seed: int = 3) -> list[bytes]:
    """Write some hundred different pages as HTTP requests: 40 titles with the recommender's scores each."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(_N_REQUESTS):
        titles = rng.choice(n_titles, N_TITLES_A_PAGE, replace=False)
        scores = rng.uniform(size=N_TITLES_A_PAGE).round(3)
        body = json.dumps({
            "profile_id": f"p{rng.integers(N_PROFILES)}",
            "titles": [
                {"title_id": f"t{title}", "score": float(score), "row": place // 10, "column": place % 10}
                for place, (title, score) in enumerate(zip(titles, scores, strict=True))
            ],
            "context": {"device": "tv", "country": "DE", "language": "de", "local_hour": 20, "day_of_week": 5},
        }).encode()
        head = "POST /v1/pages HTTP/1.1\r\nhost: scorer\r\ncontent-type: application/json\r\n"
        out.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return out


def load(port: int, asked: list[bytes], n_clients: int, seconds: float, rate: float = 0.0) -> dict[str, float]:
    """Ask for pages until the time is over.

    Raises:
        RuntimeError: if an answer is not 200.
    """
    connections = [_Connection(socket.create_connection(("127.0.0.1", port))) for _ in range(n_clients)]
    try:
        latencies, took = _asked(connections, asked, seconds, 1.0 / rate if rate else 0.0)
    finally:
        for each in connections:
            each.socket.close()
    found = np.percentile(np.array(latencies) * 1e3, [50, 90, 99, 99.9])
    names = ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
    return {"pages": float(len(latencies)), "seconds": took, **dict(zip(names, found.tolist(), strict=True))}


def _asked(
    connections: list[_Connection], asked: list[bytes], seconds: float, every: float
) -> tuple[list[float], float]:
    """Ask until the time is over, one page each `every` seconds or as fast as it goes; latencies, and seconds taken."""
    # In turns, so that none is idle until the server hangs up.
    idle, n_clients = deque(connections), len(connections)
    with selectors.DefaultSelector() as selector:
        for each in idle:
            each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(each.socket, selectors.EVENT_READ, each)
        latencies: list[float] = []
        began = time.perf_counter()
        due, n_sent, end = began, 0, began + seconds
        while True:
            now = time.perf_counter()
            while idle and now < end and due <= now:
                connection = idle.popleft()
                connection.began = due if every else time.perf_counter()
                connection.socket.sendall(asked[n_sent % len(asked)])
                n_sent += 1
                due += every
            if now >= end and len(idle) == n_clients:
                break
            wait = max(min(due, end) - now, 0.0) if every and idle else max(end - now, 0.05)
            for key, _ in selector.select(wait):
                if _is_answered(key.data):
                    latencies.append(time.perf_counter() - key.data.began)
                    idle.append(key.data)
    return latencies, time.perf_counter() - began


def _is_answered(connection: _Connection) -> bool:
    data = connection.socket.recv(262_144)
    if not data:
        raise RuntimeError("the server hung up")
    received = connection.received
    received += data
    if connection.waiting < 0:
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return False
        lines = bytes(received[:head]).lower()
        if not lines.startswith(b"http/1.1 200"):
            raise RuntimeError(f"a page was answered with {bytes(received[:400])!r}")
        at = lines.index(b"content-length:") + 15
        length = int(lines[at:].split(b"\r\n", 1)[0])
        connection.waiting = head + 4 + length
    if len(received) < connection.waiting:
        return False
    received.clear()
    connection.waiting = -1
    return True


def main() -> None:
    """Load the port that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--titles", type=int, required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=0.0)
    told = parser.parse_args()
    print(json.dumps(load(told.port, requests(told.titles), told.clients, told.seconds, told.rate)), flush=True)


if __name__ == "__main__":
    main()
