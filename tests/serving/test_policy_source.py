from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Pointer, move_pointer
from models.error import BundleError
from models.policy import UniformPolicy
from serving.policy import LoadedPolicy, is_pmf, refuse_unusable
from serving.policy_source import BundlePolicySource
from tests.serving.bundle_example import bundle_file, publish, sample_batch, write_policy
from tests.serving.example import BrokenPolicy, TiltedPolicy


def test_nothing_published_is_no_policy_and_no_error(tmp_path: Path) -> None:
    assert BundlePolicySource(tmp_path.as_uri()).poll() is None


def test_a_published_bundle_is_loaded_once_and_a_rollback_loads_the_earlier_one(tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    source = BundlePolicySource(url)
    first, second = write_policy(url, "t0-a0"), write_policy(url, "t0-a1", day=1)
    assert source.poll() is None, "a bundle that is not live yet"
    for manifest, rollback in ((first, False), (second, False), (first, True)):
        publish(url, manifest, rollback=rollback)
        loaded = source.poll()
        assert loaded is not None
        assert loaded.version == manifest.version
        refuse_unusable(loaded)
        assert source.poll() is None


def test_a_pointer_to_uniform_takes_the_live_policy_out_of_service(tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    source = BundlePolicySource(url)
    manifest = write_policy(url, "t0-a0")
    publish(url, manifest)
    assert source.poll() is not None
    move_pointer(url, Pointer.to_uniform(published_at=datetime.now(UTC)), rollback=True)
    loaded = source.poll()
    assert loaded is not None
    assert loaded.version == "uniform"
    refuse_unusable(loaded)
    batch = sample_batch()
    np.testing.assert_array_equal(loaded.policy.pmf(batch), UniformPolicy().pmf(batch))
    publish(url, manifest)
    again = source.poll()
    assert again is not None
    assert again.version == manifest.version


def test_a_bundle_with_a_flipped_bit_is_refused_once_and_taken_when_it_is_whole(tmp_path: Path) -> None:
    url, now = tmp_path.as_uri(), [0.0]
    source = BundlePolicySource(url, monotonic=lambda: now[0])
    manifest = write_policy(url, "t0-a0")
    publish(url, manifest)
    file = bundle_file(tmp_path, manifest, "policy.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    with pytest.raises(BundleError, match=r"policy\.npz"):
        source.poll()
    for second in range(1, 100):
        now[0] = float(second)
        assert source.poll() is None, "told once"
    file.write_bytes(whole)
    now[0] += 120
    loaded = source.poll()
    assert loaded is not None
    assert loaded.version == manifest.version


@pytest.mark.parametrize("name", ["policy.npz", "fallback.npz", "manifest.json"])
def test_a_bundle_without_a_file_is_refused_by_the_file(tmp_path: Path, name: str) -> None:
    url = tmp_path.as_uri()
    manifest = write_policy(url, "t0-a0")
    publish(url, manifest)
    bundle_file(tmp_path, manifest, name).unlink()
    with pytest.raises(BundleError, match=name):
        BundlePolicySource(url).poll()


def test_a_pointer_that_names_another_manifest_is_refused(tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    manifest = write_policy(url, "t0-a0")
    publish(url, manifest)
    pointer = tmp_path / "live.json"
    pointer.write_text(pointer.read_text().replace(manifest.sha256, "0" * 64))
    with pytest.raises(BundleError, match="not the one that the pointer names"):
        BundlePolicySource(url).poll()


def test_a_garbled_pointer_is_refused_once_and_a_good_one_taken_at_once(tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    source = BundlePolicySource(url)
    manifest = write_policy(url, "t0-a0")
    (tmp_path / "live.json").write_text("{")
    with pytest.raises(BundleError, match=r"live\.json"):
        source.poll()
    assert source.poll() is None
    (tmp_path / "live.json").unlink()
    publish(url, manifest)
    assert source.poll() is not None


@pytest.mark.parametrize("answer", [float("nan"), -1.0, 0.9, ValueError("broken"), TypeError("broken")])
def test_a_policy_that_gives_no_probabilities_is_refused_before_it_goes_live(answer: float | Exception) -> None:
    good, bad = TiltedPolicy(1.0), BrokenPolicy(answer)
    refuse_unusable(LoadedPolicy("v", good, good))
    with pytest.raises(BundleError, match="the policy of v"):
        refuse_unusable(LoadedPolicy("v", bad, good))
    with pytest.raises(BundleError, match="the fallback of v"):
        refuse_unusable(LoadedPolicy("v", good, bad))


def test_probabilities_sum_to_one_over_each_decision_not_over_all() -> None:
    batch = sample_batch()
    assert is_pmf(np.array([0.5, 0.5, 1.0, 0.0]), batch.offsets)
    assert not is_pmf(np.array([0.7, 0.7, 0.3, 0.3]), batch.offsets)
    assert not is_pmf(np.array([0.5, 0.5, 1.0]), batch.offsets)
