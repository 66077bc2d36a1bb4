"""What became of what the scorer had promised: log and lake, held against what the clients of `faults` heard."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.faults_home import artwork_vectors, catalogue
from benchmarks.faults_load import Load
from benchmarks.faults_torment import Torment
from benchmarks.recompute import MotifRule, recomputed
from models.bundle import read_bundle
from models.decision import Page
from models.error import BundleError
from models.event import Event, decode_line
from models.interval import Interval
from models.policy import UniformPolicy
from models.segment import find_segments
from models.shape import PublishedPolicy
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, IMPRESSIONS
from serving.event_recovery import recover
from serving.features import Vectors
from serving.status import VECTORS_UNAVAILABLE

_SAME = 1e-9
_UNREAD = f"fallback:{VECTORS_UNAVAILABLE}"
UNIFORM_VERSION = "uniform"


def verdict(settings: Settings, load: Load, torment: Torment, began: datetime) -> dict[str, float | int | str]:
    """Hold what was promised against what lies in the lake."""
    recover(settings.events_dir)
    logged = _logged(settings)
    pages = [event for event in logged if isinstance(event, Page)]
    decisions, impressions = _ingested(settings, began)
    answered = [page for heard in load.heard for page in heard.pages]
    promised = {
        choice.decision_id: choice.artwork_id for page in answered if not page.unlogged for choice in page.decisions
    }
    unlogged = {choice.decision_id for page in answered if page.unlogged for choice in page.decisions}
    in_lake = dict(decisions)
    # An impression of a page that could not be logged may be accepted when the log is back: quarantine has it.
    seen = {decision_id for heard in load.heard for decision_id in heard.impressions} - unlogged
    lines = {decision.decision_id for page in pages for decision in page.decisions}
    intents = Counter(decision.intent for page in pages for decision in page.decisions)
    return {
        "unanswered": len(load.unanswered(torment.dead)),
        "lost": sum(in_lake.get(name) != artwork for name, artwork in promised.items()) + len(seen - set(impressions)),
        "duplicated": _n_repeated(name for name, _ in decisions)
        + _n_repeated(impressions)
        + _n_repeated(decision.decision_id for page in pages for decision in page.decisions),
        "wrong_propensities": sum(_n_wrong(settings, page, _rule_of(torment, page)) for page in pages),
        "logged_though_unlogged": len(unlogged & (set(in_lake) | lines)),
        "broken_log_lines": _broken_lines(settings.home / "scorer.log"),
        "pages": len(answered),
        "decisions": len(in_lake),
        "impressions": len(seen),
        "pages_unlogged": sum(page.unlogged for page in answered),
        "decisions_without_features": sum(n for intent, n in intents.items() if "features_" in intent),
        "decisions_ruled": sum(_n_ruled(settings, page, _rule_of(torment, page)) for page in pages),
        "versions": len({page.policy_version for page in pages}),
    }


def _logged(settings: Settings) -> list[Event]:
    return [
        decode_line(line)
        for segment in find_segments(settings.events_dir)
        for line in segment.path.read_bytes().splitlines()
    ]


def _ingested(settings: Settings, began: datetime) -> tuple[list[tuple[str, str]], list[str]]:
    """Ingest every interval of the run: decisions with their artworks, and the decisions that were seen."""
    lake = Lake(settings.lake_dir)
    decisions: list[tuple[str, str]] = []
    impressions: list[str] = []
    interval = Interval.containing(began, settings.interval_hours)
    while interval.start_at <= datetime.now(UTC):
        ingest(settings, interval)
        rows = lake.read(DECISIONS, interval.start_at, interval.end_at, ["decision_id", "artwork_id"])
        decisions += zip(rows["decision_id"].to_pylist(), rows["artwork_id"].to_pylist(), strict=True)
        seen = lake.read(IMPRESSIONS, interval.start_at, interval.end_at, ["decision_id"])
        impressions += seen["decision_id"].to_pylist()
        interval = Interval(interval.end_at, interval.end_at + timedelta(hours=settings.interval_hours))
    return decisions, impressions


def _rule_of(torment: Torment, page: Page) -> MotifRule | None:
    """Tell which page rule a page was decided by."""
    since = torment.ruled_since
    if since is None or page.decided_at < since or page.policy_version == UNIFORM_VERSION:
        return None
    motifs = {name: artwork.motif for name, artwork in catalogue().artworks.items()}
    return MotifRule(torment.settings.repeated_motif_factor, motifs)


def _n_ruled(settings: Settings, page: Page, rule: MotifRule | None) -> int:
    """Count the decisions of a page that would have had another propensity without the page rule."""
    if rule is None:
        return 0
    policy = _policy(settings.policies_url, page.policy_version)
    ruled, free = (recomputed(page, policy, _vectors_of(page), each)[1] for each in (rule, None))
    return int((~np.isclose(ruled, free, rtol=_SAME, atol=0.0)).sum())


def _n_wrong(settings: Settings, page: Page, rule: MotifRule | None) -> int:
    """Count the decisions of a page that are not what the policy they name draws, with the propensity it gives."""
    try:
        policy = _policy(settings.policies_url, page.policy_version)
    except BundleError:
        return len(page.decisions)  # a corrupt bundle was served
    chosen, propensities = recomputed(page, policy, _vectors_of(page), rule)
    return sum(
        decision.artwork_id != artwork
        or not np.isclose(decision.propensity, propensity, rtol=_SAME, atol=0.0)
        or not (decision.intent == "live" or decision.intent.startswith(("fallback:features_", _UNREAD)))
        for decision, artwork, propensity in zip(page.decisions, chosen, propensities, strict=True)
    )


def _vectors_of(page: Page) -> dict[str, Vectors]:
    """Give what the scorer knew of artworks: nothing, if it says so, or says less and logged zeros of its choices."""
    intent = page.decisions[0].intent
    is_cold = intent != "live" and not any(any(each.features) for each in page.decisions)
    return {} if intent == _UNREAD or is_cold else _vectors()


_vectors = cache(artwork_vectors)


@cache
def _policy(root_url: str, version: str) -> PublishedPolicy | UniformPolicy:
    return UniformPolicy() if version == UNIFORM_VERSION else read_bundle(root_url, version).policy


def _n_repeated(names: Iterable[str]) -> int:
    return sum(n - 1 for n in Counter(names).values())


def _broken_lines(log: Path) -> int:
    """Count the lines on stderr that are not one JSON object each."""
    return sum(not _is_object(line) for line in log.read_bytes().splitlines())


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
