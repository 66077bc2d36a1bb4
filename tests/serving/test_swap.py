"""A policy is changed under load: nobody is dropped, no page is mixed, and nothing is left of the policies before."""

import gc
import threading
import time
import tracemalloc
from pathlib import Path

import httpx
import numpy as np
import pytest

import serving.scorer
import serving.upkeep
from benchmarks.recompute import recomputed
from models.bundle import read_bundle
from models.error import BundleError
from models.kernel import ArtworkTable, CompiledPolicy
from models.linear import LinearPolicy
from models.manifest import BundleManifest
from models.policy import UniformPolicy
from models.shape import PublishedPolicy
from serving.policy import LoadedPolicy
from serving.policy_source import BundlePolicySource
from tests.serving.bundle_example import publish, tasteful, write_policy
from tests.serving.example import Running, logged_pages, metric, running, settings_in, wait_for

N_SWAPS = 25
PAGE = {"titles": ["t0", "t1", "t2"]}


def _wide(seed: int) -> LinearPolicy:
    """A policy of about a megabyte, so that one that is kept would show."""
    generator = np.random.default_rng(seed)
    keys = np.unique(generator.integers(0, 2**63, size=80_000, dtype=np.uint64))
    parts = tasteful(seed).arrays() | {"bias_keys": keys, "bias": np.ones(len(keys), dtype=np.float32)}
    return LinearPolicy.from_arrays(parts)


def test_pages_under_load_are_each_of_one_published_version_and_none_is_dropped(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, policy_poll_seconds=0.02)
    url = settings.policies_url
    manifests = [write_policy(url, "", policy=tasteful(seed), day=seed) for seed in range(N_SWAPS)]
    policies = {each.version: read_bundle(url, each.version).policy for each in manifests} | {
        "uniform": UniformPolicy()
    }
    ended = threading.Event()
    answers: list[dict[str, object]] = []
    failures: list[object] = []

    def ask(server_url: str, n_client: int) -> None:
        with httpx.Client(base_url=server_url, timeout=20, trust_env=False) as client:
            n = 0
            while not ended.is_set():
                try:
                    answer = client.post("/v1/pages", json=PAGE | {"profile_id": f"p{n_client}-{n}"})
                    (answers if answer.status_code == 200 else failures).append(answer.json())
                except httpx.HTTPError as error:
                    failures.append(error)
                n += 1

    with running(settings, policies=BundlePolicySource(url)) as server:
        clients = [threading.Thread(target=ask, args=(server.url, n)) for n in range(4)]
        for client in clients:
            client.start()
        try:
            for manifest in manifests:
                publish(url, manifest)
                wait_for(lambda version=manifest.version: _in_force(server) == version, seconds=5)
                time.sleep(0.05)
        finally:
            ended.set()
            for client in clients:
                client.join(30)
    assert not failures
    pages = {page.page_id: page for page in logged_pages(settings.events_dir)}
    assert len(pages) == len(answers)
    assert {page.policy_version for page in pages.values()} >= {each.version for each in manifests[1:]}
    for page in pages.values():
        chosen, propensities = recomputed(page, policies[page.policy_version])
        assert [decision.artwork_id for decision in page.decisions] == chosen, "all titles by the version that is named"
        np.testing.assert_allclose([decision.propensity for decision in page.decisions], propensities, rtol=1e-12)


def test_publish_and_rollback_take_effect_within_five_seconds_at_the_default_pace(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, policy_poll_seconds=type(settings_in(tmp_path)).model_fields["policy_poll_seconds"].default
    )
    url = settings.policies_url
    first, second = (write_policy(url, "", policy=_wide(seed), day=seed) for seed in (1, 2))
    with running(settings, policies=BundlePolicySource(url)) as server:
        for manifest, is_rollback in ((first, False), (second, False), (first, True), (second, True)):
            publish(url, manifest, rollback=is_rollback)
            began = time.monotonic()
            wait_for(lambda version=manifest.version: _version(server.client) == version, seconds=5)
            assert time.monotonic() - began < 5
        text = server.client.get("/metrics").text
        assert "marquee_policy_swap_seconds_count 4.0" in text


def test_a_policy_that_cannot_be_laid_out_scores_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = serving.scorer.compiled
    failures = [MemoryError()]

    def scarce(policy: PublishedPolicy, table: ArtworkTable) -> CompiledPolicy:
        if failures:
            raise failures.pop()
        return compiled(policy, table)

    monkeypatch.setattr(serving.scorer, "compiled", scarce)
    settings = settings_in(tmp_path)
    manifest = write_policy(settings.policies_url, "", policy=tasteful(1))
    publish(settings.policies_url, manifest)
    with running(settings, policies=BundlePolicySource(settings.policies_url)) as server:
        assert _version(server.client) == manifest.version
        assert not failures
        assert server.service.scorer._in_force.kernel is None


@pytest.mark.parametrize("failure", [MemoryError(), BundleError("cannot score a page")])
def test_a_policy_that_could_not_be_put_in_force_is_counted_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    failures = [failure] * 2
    tried_at: list[float] = []

    def strained(loaded: LoadedPolicy) -> None:
        tried_at.append(time.monotonic())
        if failures:
            raise failures.pop()

    monkeypatch.setattr(serving.upkeep, "refuse_unusable", strained)
    settings = settings_in(tmp_path)
    manifest = write_policy(settings.policies_url, "", policy=tasteful(1))
    publish(settings.policies_url, manifest)
    with running(settings, policies=BundlePolicySource(settings.policies_url)) as server:
        assert _version(server.client) == "uniform"
        wait_for(lambda: _version(server.client) == manifest.version)
        refused = metric(server, "marquee_bundles_refused_total")
        failed = metric(server, "marquee_refresh_failures_total")
        assert (refused, failed) == ((1, 0) if isinstance(failure, BundleError) else (0, 2))
        assert metric(server, "marquee_policy_swaps_total") == 1
    assert tried_at[1] - tried_at[0] > 0.9
    assert tried_at[2] - tried_at[1] > 1.9, "ever more rarely"


def _in_force(server: Running) -> str | None:
    policy = server.service.scorer.policy
    return None if policy is None else policy.version


def _version(client: httpx.Client) -> object:
    return client.post("/v1/pages", json=PAGE | {"profile_id": "p"}).json()["policy_version"]


@pytest.mark.timeout(120)
def test_memory_returns_to_where_it_was_after_many_swaps(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, policy_poll_seconds=0.01)
    url = settings.policies_url
    manifests: list[BundleManifest] = [write_policy(url, "", policy=_wide(seed), day=seed) for seed in range(1, 5)]
    n_bytes = sum(array.nbytes for array in _wide(1).arrays().values())
    with running(settings, policies=BundlePolicySource(url), freeze=True) as server:

        def swap(times: int) -> int:
            for n in range(times):
                manifest = manifests[n % 4]
                publish(url, manifest, rollback=True)
                wait_for(lambda version=manifest.version: _in_force(server) == version)
                assert _version(server.client) == manifest.version
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = swap(4)
            after = swap(100)
        finally:
            tracemalloc.stop()
            gc.unfreeze()
    assert after - before < n_bytes, f"{(after - before) / n_bytes:.1f} policies were kept"
