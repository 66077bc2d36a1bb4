"""Hold every candidate against the champion, on logged decisions of profiles that none of them learned from."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import msgspec
import numpy as np

from evaluation.evaluation import evaluate
from evaluation.record import Evaluation, encode
from models.batch import LoggedBatch
from models.bundle import UNIFORM, Bundle, read_bundle, read_manifest, read_pointer
from models.error import ContractError
from models.interval import moment_key
from models.policy import Policy, UniformPolicy
from pipelines.maturity import matured_share
from pipelines.part import digest, write_whole
from pipelines.settings import Settings
from pipelines.training import FALLBACK, candidates_url
from pipelines.training_set import Side, TrainingSet, iter_training_batches, read_training_set

EVALUATION_FILE = "evaluation.json"
"""The latest of the rounds as of a moment; it is one of those that are kept."""

_KEPT = "evaluation-{name}.json"


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round of evaluation: what was judged on which data, and what came out.

    `versions` maps the names of the candidates to their bundles. `champion` is the name of the policy that they are
    held against: the version that is live, or `uniform` where none is, which is what scorers then serve. Profiles of
    `holdout_share` judged: those that neither a candidate nor the champion learned from.
    `matured_share` is the share of the window's impression-bearing decisions whose rewards are known.
    """

    training_uri: str
    candidates_url: str
    as_of: datetime
    learned_from_at: datetime
    learned_through_at: datetime
    data_version: str
    versions: dict[str, str]
    champion: str
    holdout_share: float
    evaluation: Evaluation
    matured_share: float | None = None


def evaluate_candidates(settings: Settings, training_uri: str, versions: list[str]) -> str:
    """Evaluate uniform, best artwork, the candidates and the champion on the held-out profiles.

    Args: versions, bundles that were trained on this training set.

    Returns:
        The URI of HOME/reports/<as_of>/evaluation-<content>.json, a `Round`, which evaluation.json then shows as well.
        The same versions and champion give the same file, and no other round ever takes its place.

    Raises:
        ContractError: if there is no candidate, or two of one name, or the held-out side of the log is too small.
        BundleError: if a bundle cannot be trusted.
    """
    found = read_training_set(training_uri)
    root = candidates_url(found)
    bundles = {bundle.manifest.candidate: bundle for bundle in (read_bundle(root, each) for each in versions)}
    if not bundles or len(bundles) < len(versions):
        raise ContractError(f"versions must be of at least one candidate, and one of each, got {versions}")
    champion = _champion(settings, versions)
    share = min(_shares(settings, found, bundles.values(), champion))
    by_name = {name: bundle.manifest.version for name, bundle in sorted(bundles.items())}

    def batches() -> Iterator[LoggedBatch]:
        return iter_training_batches(found.uri, Side.JUDGE, holdout_share=share)

    judged = Round(
        training_uri=found.uri,
        candidates_url=root,
        as_of=found.as_of,
        learned_from_at=found.learned_from_at,
        learned_through_at=found.learned_through_at,
        data_version=found.data_version,
        versions=by_name,
        champion=champion,
        holdout_share=share,
        evaluation=evaluate(
            policies_of(settings, root, by_name, champion), batches, champion=champion, bootstrap=resampling()
        ),
        matured_share=matured_share(settings, found),
    )
    content = encode(judged)
    path = report_dir(settings, found.as_of) / _KEPT.format(name=digest(content)[:12])
    for each in (path, path.with_name(EVALUATION_FILE)):
        write_whole(each, content)
    return path.absolute().as_uri()


def resampling() -> np.random.Generator:
    """Make the luck of an evaluation's bootstrap: always the same, so that a round judged again is the same file."""
    return np.random.default_rng(2017)


def policies_of(settings: Settings, root: str, versions: dict[str, str], champion: str) -> dict[str, Policy]:
    """Load every policy of a round by name: uniform, best artwork, the candidates below `root`, and the champion.

    Raises:
        BundleError: if a bundle cannot be trusted.
    """
    bundles = {name: read_bundle(root, version) for name, version in versions.items()}
    policies: dict[str, Policy] = {UNIFORM: UniformPolicy(), FALLBACK: next(iter(bundles.values())).fallback}
    policies |= {name: bundle.policy for name, bundle in bundles.items()}
    if champion != UNIFORM:
        policies[champion] = read_bundle(settings.policies_url, champion).policy
    return policies


def read_round(uri: str) -> Round:
    """Read back what `evaluate_candidates` wrote.

    Raises:
        ContractError: naming a file that is missing or is not one.
    """
    path = Path(url2pathname(urlparse(uri).path))
    try:
        return msgspec.json.decode(path.read_bytes(), type=Round)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContractError(f"not the record of an evaluation: {path}: {error}") from error


def report_dir(settings: Settings, as_of: datetime) -> Path:
    """Find the folder of everything that is said about one `as_of`."""
    return settings.reports_dir / moment_key(as_of)


def round_uri(settings: Settings, as_of: datetime) -> str:
    """Find the record of the latest evaluation as of a moment."""
    return (report_dir(settings, as_of) / EVALUATION_FILE).absolute().as_uri()


def round_uri_with(settings: Settings, as_of: datetime, version: str) -> str:
    """Find a record of an evaluation as of a moment in which a version took part, the newest of them.

    Raises:
        ContractError: if there is none.
    """
    for uri, found in rounds_of(settings, as_of).items():
        if version in found.versions.values():
            return uri
    directory = report_dir(settings, as_of).absolute()
    raise ContractError(f"version must be of a round in {directory}, got {version!r}")


def rounds_of(settings: Settings, as_of: datetime) -> dict[str, Round]:
    """Read all evaluations as of a moment by URI, the newest first.

    Raises:
        ContractError: naming a file that is not one.
    """
    kept = report_dir(settings, as_of).absolute().glob(_KEPT.format(name="*"))
    uris = [path.as_uri() for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)]
    return {uri: read_round(uri) for uri in uris}


def newest_round(settings: Settings) -> Round | None:
    """Read the latest evaluation as of the latest moment; None before any."""
    path = max(settings.reports_dir.glob(f"*/{EVALUATION_FILE}"), default=None)
    return read_round(path.absolute().as_uri()) if path else None


def _shares(settings: Settings, found: TrainingSet, bundles: Iterable[Bundle], champion: str) -> Iterator[float]:
    """Say which share of the profiles each policy never learned from; the least of them is held out by all."""
    yield found.holdout_share
    for bundle in bundles:
        yield bundle.manifest.holdout_share
    if champion != UNIFORM:
        yield read_manifest(settings.policies_url, champion).holdout_share


def _champion(settings: Settings, versions: list[str]) -> str:
    """Name the policy to be beaten: the live one, or the one before it where this very run has put it live.

    So a run that is repeated after it published judges what it judged the first time.
    """
    live = read_pointer(settings.policies_url)
    version = live.previous if live is not None and live.version in versions else live and live.version
    return version or UNIFORM
