"""Published policies: immutable, checksummed bundles, and the one pointer that says which is live.

    <root>/bundles/<version>/   policy.npz, fallback.npz, sample.npz, the learner's files; manifest.json, written last
    <root>/live.json            the pointer

A version is made of its content, so that a bundle can be written twice and never exist in two forms. A reader believes
nothing: checksums, shapes, layout, finite numbers, and that the policy still says on the sample what it said when it
was written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, LoggedBatch
from models.error import BundleError, ContractError
from models.fitted import FittedPolicy
from models.layout import ARTWORK, FEATURE_SERVICE, SHARED
from models.manifest import MANIFEST_FILE, BundleManifest, checksum, path_of, read_manifest
from models.pointer import POINTER_FILE, UNIFORM, Pointer, move_pointer, read_pointer, refuse_older
from models.shape import PublishedPolicy, from_arrays, to_arrays
from models.storage import Folder

__all__ = [
    "MANIFEST_FILE",
    "POINTER_FILE",
    "UNIFORM",
    "Bundle",
    "BundleManifest",
    "Pointer",
    "move_pointer",
    "read_bundle",
    "read_manifest",
    "read_pointer",
    "refuse_older",
    "write_bundle",
]

POLICY_FILE: Final = "policy.npz"
FALLBACK_FILE: Final = "fallback.npz"
SAMPLE_FILE: Final = "sample.npz"
SAMPLE_DECISIONS: Final = 64
PARITY: Final = 1e-6

_OWN_FILES: Final = frozenset({POLICY_FILE, FALLBACK_FILE, SAMPLE_FILE, MANIFEST_FILE})
_BATCH_ARRAYS: Final = ("offsets", "profile_keys", "title_keys", "artwork_keys", "shared", "artworks")
_CORRUPT: Final = (ValueError, KeyError, EOFError, OSError, BadZipFile)
"""What numpy and our own contracts raise on a file that is not what it should be."""

Arrays = dict[str, NDArray[Any]]
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: the policy, and the best artworks that a scorer falls back to."""

    manifest: BundleManifest
    policy: PublishedPolicy
    fallback: PublishedPolicy


def write_bundle(
    root_url: str,
    *,
    candidate: str,
    fitted: FittedPolicy,
    fallback: PublishedPolicy,
    sample: LoggedBatch | Batch,
    learned_from_at: datetime,
    learned_through_at: datetime,
    n_decisions: int,
    reward_rule: str,
    holdout_share: float,
) -> BundleManifest:
    """Write a bundle; where the same one is already there, nothing changes.

    Args: sample, decisions on which every reader repeats the policy's probabilities; the first 64 are kept;
    holdout_share, of the profiles, which the policy did not learn from.

    Raises:
        ContractError: if a time is not aware UTC, a name is not plain, a diagnostic not finite, or the sample empty.
    """
    if taken := _OWN_FILES & set(fitted.files):
        raise ContractError(f"a learner's files must not be named {sorted(taken)}")
    contents = {name: path.read_bytes() for name, path in fitted.files.items()}
    contents |= {POLICY_FILE: _npz(to_arrays(fitted.policy)), FALLBACK_FILE: _npz(to_arrays(fallback))}
    contents[SAMPLE_FILE] = _npz(_sample_arrays(sample, fitted.policy, fallback))
    manifest = BundleManifest(
        version="",
        candidate=candidate,
        feature_service=FEATURE_SERVICE,
        n_shared=len(SHARED),
        n_artwork=len(ARTWORK),
        learned_from_at=learned_from_at,
        learned_through_at=learned_through_at,
        n_decisions=n_decisions,
        reward_rule=reward_rule,
        holdout_share=holdout_share,
        files={name: checksum(content) for name, content in contents.items()},
        diagnostics=fitted.diagnostics,
    ).versioned()
    _put(Folder(root_url), manifest, contents)
    return manifest


def read_bundle(root_url: str, version: str) -> Bundle:
    """Read a bundle and believe nothing that does not prove itself.

    Raises:
        BundleError: naming the bundle and the file, if a file is missing, altered or of another layout, a number is
        not finite, or the policy no longer gives the probabilities of the sample.
    """
    manifest = read_manifest(root_url, version)
    layout, ours = (manifest.feature_service, manifest.n_shared, manifest.n_artwork), _layout()
    if layout != ours:
        raise BundleError(f"bundle {version!r}: {MANIFEST_FILE}: layout must be {ours}, got {layout}")
    contents = {name: _verified(root_url, version, name, expected) for name, expected in manifest.files.items()}
    policy = _load(version, POLICY_FILE, contents, from_arrays)
    fallback = _load(version, FALLBACK_FILE, contents, from_arrays)
    _load(version, SAMPLE_FILE, contents, lambda arrays: _hold_to_sample(arrays, policy, fallback))
    return Bundle(manifest, policy, fallback)


def _put(folder: Folder, manifest: BundleManifest, contents: dict[str, bytes]) -> None:
    """Write the manifest last: without it, a bundle is not there."""
    if folder.read(path_of(manifest.version, MANIFEST_FILE)) != manifest.to_json():
        for name, content in contents.items():
            folder.replace(path_of(manifest.version, name), content)
        folder.replace(path_of(manifest.version, MANIFEST_FILE), manifest.to_json())


def _layout() -> tuple[str, int, int]:
    return FEATURE_SERVICE, len(SHARED), len(ARTWORK)


def _verified(root_url: str, version: str, name: str, expected: str) -> bytes:
    content = Folder(root_url).read(path_of(version, name))
    if content is None:
        raise BundleError(f"bundle {version!r}: {name} is missing below {root_url}")
    if (found := checksum(content)) != expected:
        raise BundleError(f"bundle {version!r}: {name} must have SHA-256 {expected}, got {found}")
    return content


def _load(version: str, name: str, contents: dict[str, bytes], make: Callable[[Arrays], Loaded]) -> Loaded:
    try:
        with np.load(BytesIO(contents[name]), allow_pickle=False) as file:
            return make({key: file[key] for key in file.files})
    except _CORRUPT as error:
        raise BundleError(f"bundle {version!r}: {name} cannot be used: {error}") from error


def _npz(arrays: Arrays) -> bytes:
    out = BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def _sample_arrays(sample: LoggedBatch | Batch, policy: PublishedPolicy, fallback: PublishedPolicy) -> Arrays:
    batch = sample.batch if isinstance(sample, LoggedBatch) else sample
    if not len(batch):
        raise ContractError("a bundle's sample must hold at least one decision")
    kept = batch.take(np.arange(min(len(batch), SAMPLE_DECISIONS)))
    arrays: Arrays = {name: getattr(kept, name) for name in _BATCH_ARRAYS}
    return {**arrays, "policy_pmf": policy.pmf(kept), "fallback_pmf": fallback.pmf(kept)}


def _hold_to_sample(arrays: Arrays, policy: PublishedPolicy, fallback: PublishedPolicy) -> None:
    batch = Batch(**{name: arrays[name] for name in _BATCH_ARRAYS})
    for name, found in (("policy_pmf", policy.pmf(batch)), ("fallback_pmf", fallback.pmf(batch))):
        apart = np.abs(found - arrays[name])
        if not (apart.shape == found.shape and (apart <= PARITY).all()):
            raise ContractError(f"{name} must be repeated within {PARITY}, it is {apart.max():.3g} apart")
