"""The pointer: what is live, and how it moves."""

from datetime import timedelta
from pathlib import Path

import fsspec
import msgspec
import pytest

from models.bundle import Pointer, move_pointer, read_manifest, read_pointer
from models.error import BundleError, StaleModelError
from models.manifest import BundleManifest
from models.storage import Folder
from tests.models.bundle_world import THROUGH_AT, written
from tests.models.conftest import Fitted


def pointer_to(manifest: BundleManifest, previous: str | None = None) -> Pointer:
    return Pointer.to(manifest, published_at=THROUGH_AT + timedelta(hours=60), previous=previous)


def test_the_pointer_says_what_is_live(root: str, fitted: Fitted) -> None:
    assert read_pointer(root) is None
    first = written(root, fitted)
    move_pointer(root, pointer_to(first))
    assert read_pointer(root) == pointer_to(first)
    newer = written(root, fitted, learned_through_at=THROUGH_AT + timedelta(days=1))
    move_pointer(root, pointer_to(newer, previous=first.version))
    live = read_pointer(root)
    assert live is not None
    assert (live.version, live.previous) == (newer.version, first.version)
    assert live.manifest_sha256 == read_manifest(root, live.version).sha256
    assert [name for name in fsspec.core.url_to_fs(root)[0].find(root) if name.endswith(".tmp")] == []


def test_an_older_policy_takes_over_only_as_a_rollback(tmp_path: Path, fitted: Fitted) -> None:
    root = str(tmp_path)
    newer = written(root, fitted, learned_through_at=THROUGH_AT + timedelta(days=1))
    older = written(root, fitted)
    move_pointer(root, pointer_to(newer))
    with pytest.raises(StaleModelError, match=rf"{older.version}.*{newer.version}"):
        move_pointer(root, pointer_to(older))
    assert read_pointer(root) == pointer_to(newer)
    move_pointer(root, pointer_to(older, previous=newer.version), rollback=True)
    assert read_pointer(root) == pointer_to(older, previous=newer.version)
    move_pointer(root, pointer_to(older))


def test_a_pointer_never_leads_to_nothing(tmp_path: Path, fitted: Fitted) -> None:
    manifest = written(str(tmp_path), fitted)
    for wrong in (
        msgspec.structs.replace(pointer_to(manifest), version="never-made"),
        msgspec.structs.replace(pointer_to(manifest), manifest_sha256="0" * 64),
        msgspec.structs.replace(pointer_to(manifest), learned_through_at=THROUGH_AT + timedelta(days=9)),
    ):
        with pytest.raises(BundleError):
            move_pointer(str(tmp_path), wrong)
    assert read_pointer(str(tmp_path)) is None


GARBLED = [
    b"",
    b"{",
    b"null",
    b"{}",
    b"\xff\xfe",
    b'{"version":"../../etc","manifest_sha256":"","learned_through_at":0}',
]


@pytest.mark.parametrize("content", GARBLED)
def test_a_garbled_pointer_is_an_error_that_a_rollback_mends(tmp_path: Path, fitted: Fitted, content: bytes) -> None:
    manifest = written(str(tmp_path), fitted)
    (tmp_path / "live.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"live\.json"):
        read_pointer(str(tmp_path))
    with pytest.raises(BundleError, match=r"live\.json"):
        move_pointer(str(tmp_path), pointer_to(manifest))
    move_pointer(str(tmp_path), pointer_to(manifest), rollback=True)
    assert read_pointer(str(tmp_path)) == pointer_to(manifest)


def test_a_pointer_to_a_path_or_a_naive_time_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    good = msgspec.json.decode(msgspec.json.encode(pointer_to(written(str(tmp_path), fitted))))
    for change in ({"version": "../x"}, {"previous": "a/b"}, {"published_at": "2026-11-08T00:00:00"}):
        (tmp_path / "live.json").write_bytes(msgspec.json.encode({**good, **change}))
        with pytest.raises(BundleError):
            read_pointer(str(tmp_path))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "live.json").mkdir()
    with pytest.raises(BundleError, match=r"live\.json"):
        read_pointer(str(tmp_path))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    folder.replace("live.json", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(folder._files), "mv", fail)
    with pytest.raises(OSError, match="disk full"):
        folder.replace("live.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["live.json"]
    assert folder.read("live.json") == b"old"
