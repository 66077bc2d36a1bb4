"""Bundles that prove themselves."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models import bundle as bundle_module
from models.bundle import (
    read_bundle,
)
from models.error import BundleError, ContractError
from models.fitted import FittedPolicy
from models.manifest import BundleManifest, checksum
from models.storage import Folder
from tests.models.bundle_world import FROM_AT, THROUGH_AT, written
from tests.models.conftest import Fitted
from tests.models.world import batch_of


def test_what_is_read_is_what_was_written(root: str, fitted: Fitted) -> None:
    manifest = written(root, fitted)
    found = read_bundle(root, manifest.version)
    assert found.manifest == manifest
    assert set(manifest.files) == {"policy.npz", "fallback.npz", "sample.npz", "model.vw", "learned.npz"}
    assert (manifest.candidate, manifest.feature_service) == ("vw-softmax", "artwork_ranker_v1")
    assert (manifest.n_shared, manifest.n_artwork) == (
        len(found.policy.shared_weights),
        len(found.policy.artwork_weights),
    )
    batch = batch_of(np.array([3, 4]), np.random.default_rng(1))
    for ours, theirs in ((found.policy, fitted("vw-softmax")), (found.fallback, fitted("best-artwork"))):
        np.testing.assert_array_equal(ours.pmf(batch), theirs.policy.pmf(batch))


def test_the_version_is_made_of_the_content(tmp_path: Path, fitted: Fitted) -> None:
    here, there = (written(str(tmp_path / name), fitted) for name in ("here", "there"))
    assert here == there
    assert here.version.startswith("vw-softmax-20261108T000000Z-")
    others = [
        written(str(tmp_path / "here"), fitted, **change)
        for change in (
            {"n_decisions": 8_001},
            {"fallback": fitted("uniform").policy},
            {"learned_from_at": FROM_AT + timedelta(days=1)},
            {"learned_through_at": THROUGH_AT + timedelta(days=1)},
        )
    ]
    assert len({here.version, *(other.version for other in others)}) == 5


def test_writing_again_changes_nothing(tmp_path: Path, fitted: Fitted) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()}

    written(str(tmp_path), fitted)
    before = state()
    written(str(tmp_path), fitted)
    assert state() == before
    assert len(before) == 6


def test_a_bundle_that_was_left_half_written_is_not_there_and_can_be_finished(tmp_path: Path, fitted: Fitted) -> None:
    version = written(str(tmp_path), fitted).version
    folder = tmp_path / "bundles" / version
    (folder / "manifest.json").unlink()
    (folder / "policy.npz").write_bytes(b"half")
    with pytest.raises(BundleError, match=rf"{version}.*manifest\.json is missing"):
        read_bundle(str(tmp_path), version)
    written(str(tmp_path), fitted)
    assert read_bundle(str(tmp_path), version).manifest.version == version


def test_the_manifest_comes_last(tmp_path: Path, fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    replaced = Folder.replace

    def note(self: Folder, path: str, content: bytes) -> None:
        order.append(path.rpartition("/")[2])
        replaced(self, path, content)

    monkeypatch.setattr(Folder, "replace", note)
    written(str(tmp_path), fitted)
    assert order[-1] == "manifest.json"
    assert len(order) == 6


FILES = ("policy.npz", "fallback.npz", "sample.npz", "model.vw", "manifest.json")


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
        return
    if how == "bit":
        content[len(content) // 2] ^= 1
    elif how == "truncated":
        del content[len(content) // 2 :]
    else:
        content = bytearray()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["bit", "truncated", "empty", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_spoiled_file_is_named_with_its_bundle(tmp_path: Path, fitted: Fitted, name: str, how: str) -> None:
    version = written(str(tmp_path), fitted).version
    spoil(tmp_path / "bundles" / version / name, how)
    with pytest.raises(BundleError) as caught:
        read_bundle(str(tmp_path), version)
    assert version in str(caught.value)
    assert name in str(caught.value)


def forged(root: Path, manifest: BundleManifest, name: str, content: bytes, **changes: Any) -> str:
    """A bundle whose checksums all fit, made by whoever does not know better."""
    files = {**manifest.files, name: checksum(content)}
    false = msgspec.structs.replace(manifest, files=files, **changes).versioned()
    for file in manifest.files:
        target = root / "bundles" / false.version / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if file == name else (root / "bundles" / manifest.version / file).read_bytes())
    (root / "bundles" / false.version / "manifest.json").write_bytes(false.to_json())
    return false.version


def arrays_of(root: Path, version: str, name: str) -> dict[str, np.ndarray]:
    with np.load(root / "bundles" / version / name) as file:
        return dict(file)


@pytest.mark.parametrize("name", ["policy.npz", "fallback.npz"])
@pytest.mark.parametrize("array", ["cross", "bias", "unknown_bias"])
def test_weights_that_are_not_finite_are_refused_though_the_checksum_fits(
    tmp_path: Path, fitted: Fitted, name: str, array: str
) -> None:
    manifest = written(str(tmp_path), fitted)
    arrays = arrays_of(tmp_path, manifest.version, name)
    arrays[array] = np.full_like(arrays[array], np.nan)
    version = forged(tmp_path, manifest, name, bundle_module._npz(arrays))
    with pytest.raises(BundleError, match=rf"{version}.*{name}.*{array} must be finite"):
        read_bundle(str(tmp_path), version)


@pytest.mark.parametrize(
    "change",
    [{"feature_service": "artwork_ranker_v2"}, {"n_shared": 1}, {"n_artwork": 1}],
    ids=lambda change: next(iter(change)),
)
def test_a_policy_of_another_layout_is_refused(tmp_path: Path, fitted: Fitted, change: dict[str, Any]) -> None:
    manifest = written(str(tmp_path), fitted)
    policy = (tmp_path / "bundles" / manifest.version / "policy.npz").read_bytes()
    version = forged(tmp_path, manifest, "policy.npz", policy, **change)
    with pytest.raises(BundleError, match=rf"{version}.*manifest\.json: layout must be"):
        read_bundle(str(tmp_path), version)


def test_a_policy_that_says_something_else_than_when_it_was_written_is_refused(tmp_path: Path, fitted: Fitted) -> None:
    manifest = written(str(tmp_path), fitted)
    arrays = arrays_of(tmp_path, manifest.version, "policy.npz")
    arrays["cross"] = arrays["cross"] * np.float32(1.001)
    version = forged(tmp_path, manifest, "policy.npz", bundle_module._npz(arrays))
    with pytest.raises(BundleError, match=rf"{version}.*sample\.npz.*policy_pmf"):
        read_bundle(str(tmp_path), version)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04torn"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, fitted: Fitted, content: bytes) -> None:
    version = forged(tmp_path, written(str(tmp_path), fitted), "policy.npz", content)
    with pytest.raises(BundleError, match=rf"{version}.*policy\.npz cannot be used"):
        read_bundle(str(tmp_path), version)


def test_an_archive_of_python_objects_is_never_unpickled(tmp_path: Path, fitted: Fitted) -> None:
    manifest = written(str(tmp_path), fitted)
    arrays = arrays_of(tmp_path, manifest.version, "policy.npz")
    np.savez(tmp_path / "objects.npz", **{**arrays, "bias": np.array([object()], dtype=object)})
    version = forged(tmp_path, manifest, "policy.npz", (tmp_path / "objects.npz").read_bytes())
    with pytest.raises(BundleError, match="allow_pickle"):
        read_bundle(str(tmp_path), version)


def test_a_manifest_without_a_policy_is_refused(tmp_path: Path, fitted: Fitted) -> None:
    manifest = written(str(tmp_path), fitted)
    less = {name: value for name, value in manifest.files.items() if name != "policy.npz"}
    version = forged(tmp_path, msgspec.structs.replace(manifest, files=less), "model.vw", b"")
    with pytest.raises(BundleError, match=r"policy\.npz"):
        read_bundle(str(tmp_path), version)


@pytest.mark.parametrize("version", ["", "..", "../live", "a/b", "never-made"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(BundleError):
        read_bundle(str(tmp_path), version)


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": "../x"},
        {"learned_through_at": datetime(2026, 11, 8)},  # noqa: DTZ001 - naive on purpose
        {"learned_from_at": datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=1)))},
        {"sample": batch_of(np.array([2]), np.random.default_rng(1)).take(np.zeros(0, dtype=np.int64))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, fitted: Fitted, change: dict[str, Any]
) -> None:
    with pytest.raises(ContractError):
        written(str(tmp_path), fitted, **change)
    assert not list(tmp_path.rglob("*"))


def test_a_learners_file_cannot_take_the_place_of_the_bundles_own(tmp_path: Path, fitted: Fitted) -> None:
    (tmp_path / "x").write_bytes(b"x")
    odd = FittedPolicy(fitted("uniform").policy, {"policy.npz": tmp_path / "x"})
    with pytest.raises(ContractError, match=r"policy\.npz"):
        written(str(tmp_path), fitted, fitted=odd)
    with pytest.raises(ContractError, match="finite"):
        written(str(tmp_path), fitted, fitted=replace(odd, files={}, diagnostics={"loss": float("nan")}))
