"""A home to serve from: a Redis of its own filled through Feast's store, a catalogue, and a published policy."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.faults_torment import free_port
from benchmarks.page_world import PageWorld
from benchmarks.scorer_process import until
from models.bundle import write_bundle
from models.error import MarqueeError
from models.identity import keys_of
from models.layout import PROFILE
from models.pointer import Pointer, move_pointer
from pipelines.settings import Settings
from serving.catalogue_file import write_catalogue
from serving.feature_store import apply_feature_repo, open_feature_store
from serving.packed_row import microseconds, pack

N_PROFILES: Final = 1_000
N_ARTWORKS: Final = 10
N_MET: Final = 200
_LEARNED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_N_LOGGED: Final = 10_000
_CHUNK: Final = 5_000
_WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class ServeHome:
    """Settings of the home, and the variables that a process needs to find it."""

    settings: Settings
    variables: dict[str, str]
    redis_port: int
    world: PageWorld


@contextlib.contextmanager
def serve_home(n_titles: int) -> Iterator[ServeHome]:
    """Make a home until the block ends, its catalogue empty of features yet: `fill` brings them.

    Raises:
        MarqueeError: if there is no redis-server.
    """
    with tempfile.TemporaryDirectory(prefix="marquee-serve-") as home, contextlib.ExitStack() as stack:
        port = stack.enter_context(_redis(Path(home)))
        variables = {
            "MARQUEE_HOME": home,
            "MARQUEE_PORT": str(free_port()),
            "MARQUEE_REDIS": f"127.0.0.1:{port}",
            "MARQUEE_FEATURE_STORE_FILE": "feature_store.redis.yaml",
            "MARQUEE_FEATURE_REPO": str(Path(__file__).parents[1] / "feature_repo"),
            "MARQUEE_UNIFORM_CELL_SHARE": "0",
        }
        stack.callback(_restore, dict(os.environ))
        os.environ.update(variables)
        settings = Settings()
        apply_feature_repo(settings)
        world = PageWorld.random(n_titles, N_ARTWORKS)
        yield ServeHome(settings, variables, port, world)


def _restore(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def fill(home: ServeHome) -> None:
    """Write all vectors and profiles to the online store, and the catalogue; train and publish the policy."""
    from feast.protos.feast.types.Value_pb2 import FloatList, Int64List, Value

    world, rng = home.world, np.random.default_rng(9)
    title_ids = [f"t{n}" for n in range(len(world.titles))]

    def floats(values: Any) -> Any:
        return Value(float_list_val=FloatList(val=values.tolist()))

    keys = keys_of(title_ids).view(np.int64)
    profiles = [f"p{n}" for n in range(N_PROFILES)]
    met = [rng.choice(keys, min(N_MET, len(keys)), replace=False) for _ in profiles]
    rows: dict[str, tuple[str, Sequence[str], Sequence[dict[str, Any]]]] = {
        "title_profile": ("title_id", title_ids, [{"vector": floats(each)} for each in world.titles]),
        "artwork_profile": ("artwork_id", world.artwork_ids, [{"vector": floats(each)} for each in world.artworks]),
        "profile_taste": (
            "profile_id",
            profiles,
            [{"vector": floats(each)} for each in rng.normal(0.0, 0.4, size=(N_PROFILES, len(PROFILE)))],
        ),
        "profile_familiarity": (
            "profile_id",
            profiles,
            [
                {
                    "title_keys": Value(int64_list_val=Int64List(val=each.tolist())),
                    "minutes": floats(rng.uniform(0, 100, len(each))),
                    "impressions": floats(rng.uniform(0, 9, len(each))),
                }
                for each in met
            ],
        ),
    }
    _write(home.settings, rows)
    _publish(home)


def _write(settings: Settings, rows: dict[str, tuple[str, Sequence[str], Sequence[dict[str, Any]]]]) -> None:
    from serving.packed_online_store import key_of, view_name

    store, now = open_feature_store(settings, online_only=True), microseconds(datetime.now(UTC))
    online: Any = store.provider.online_store
    for view, (key, ids, values) in rows.items():
        name = view_name(store.config, store.get_feature_view(view))
        packed = {
            key_of(store.config, key, each): pack(value, now, now) for each, value in zip(ids, values, strict=True)
        }
        online.write_packed(store.config, name, packed)


def _publish(home: ServeHome) -> None:
    world, settings = home.world, home.settings
    write_catalogue(world.catalogue(_LEARNED_AT), settings.catalogue_path)
    fitted = world.train(settings.home / "training", max(_N_LOGGED, len(world.artworks)))
    manifest = write_bundle(
        settings.policies_url,
        candidate="serve",
        fitted=fitted,
        fallback=fitted.policy,
        sample=world.log(64),
        learned_from_at=_LEARNED_AT,
        learned_through_at=_LEARNED_AT + timedelta(days=1),
        n_decisions=_N_LOGGED,
        reward_rule="quality-play-1",
        holdout_share=0.4,
    )
    move_pointer(settings.policies_url, Pointer.to(manifest, published_at=datetime.now(UTC), previous=None))


@contextlib.contextmanager
def _redis(home: Path) -> Iterator[int]:
    program, port = shutil.which("redis-server"), free_port()
    if program is None:
        raise MarqueeError("there is no redis-server: install Redis")
    where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(home), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([program, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})  # the client's core, and never the server's
    try:
        until(lambda: _answers(port), "Redis answers")
        yield port
    finally:
        process.terminate()
        process.wait(_WAIT_SECONDS)


def _answers(port: int) -> bool:
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis("127.0.0.1", port, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False
