"""What is lost while a scorer under load is killed, its Redis goes, bundles come broken, and its disk fills.

The scorer is started as production starts it, its features in Redis, through Feast. A load of pages runs throughout;
in turn the process is killed -9 and started again, Redis is stopped (or made to hang) and started again, bundles are
published of which some are corrupt, and the disk of the event log fills up. From half of the kills on, page rules are
on. Afterwards the log is ingested, and every decision is drawn a second time from its line and the bundle it names;
`decisions_ruled` are those whose propensity was moved by the page's earlier titles. A page counts as `unanswered` from
the moment on at which the restarted process listens.
"""

import contextlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.faults_home import redis_at
from benchmarks.faults_torment import Size, Torment, free_port, small_disk
from benchmarks.faults_verdict import verdict
from pipelines.settings import Settings

QUICK = Size(kills=1, redis_stops=2, bundles=5, corrupt=1, disk_fills=1, clients=2)
FULL = Size(kills=20, redis_stops=10, bundles=50, corrupt=5, disk_fills=5, clients=4)


def run(full: bool) -> dict[str, float | int | str]:
    """Count what was unanswered, lost, duplicated or wrong: all 0, or the promise is broken."""
    return measure(FULL if full else QUICK)


def measure(size: Size) -> dict[str, float | int | str]:
    """Torment a scorer.

    Raises:
        MarqueeError: if there is no redis-server, no small disk can be mounted (which takes root on Linux), or a fault
            did not do what it is for.
    """
    with tempfile.TemporaryDirectory(prefix="marquee-faults-") as home, contextlib.ExitStack() as stack:
        settings = Settings(
            home=Path(home),
            port=free_port(),
            feature_repo=Path(__file__).parents[1] / "feature_repo",
            feature_store_file="feature_store.redis.yaml",
            feature_refresh_seconds=2.0,
            uniform_cell_share=0.1,
            segment_seconds=2.0,
            settle_seconds=0.0,  # the load is over before it is ingested
        )
        disk = stack.enter_context(small_disk(settings.events_dir))
        torment = Torment(settings, disk)
        stack.enter_context(redis_at(torment.redis_port))
        stack.callback(torment.end)
        began = datetime.now(UTC)
        load = torment.run(size)
        return {
            **verdict(settings, load, torment, began),
            "kills": size.kills,
            "redis_stops": size.redis_stops,
            "bundles": size.bundles,
            "corrupt_bundles": size.corrupt,
            "disk_fills": size.disk_fills,
            "slowest_swap_seconds": max(torment.swap_seconds),
            "slowest_restart_seconds": max(until - since for since, until in torment.dead),
        }
