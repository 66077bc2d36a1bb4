"""From a verdict to the live policy, on a small world with real features, learner and registry."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from evaluation.audit import decode_audit
from models.bundle import read_bundle, read_manifest, read_pointer
from models.error import BundleError, ContractError, NotReadyError, StaleModelError
from pipelines.change import Kind, changes
from pipelines.promotion import judge_candidates, promote, promote_by_hand, publish, publish_champion
from pipelines.registry import Registry
from pipelines.replay import evaluate_candidates, read_round, round_uri, round_uri_with
from pipelines.rollback import rollback
from pipelines.settings import Settings
from pipelines.training import candidate_names, choose_as_of, train_candidate
from pipelines.training_set import Side, build_training_set, iter_training_batches
from tests.pipelines.feature_world import day
from tests.pipelines.promotion_world import NAMES, Rounds, go_live, let_through


def test_the_candidates_are_those_of_the_settings_or_the_whole_list(world: Settings) -> None:
    assert candidate_names(world) == NAMES
    assert len(candidate_names(world.model_copy(update={"candidates": ()}))) > len(NAMES)
    with pytest.raises(ContractError, match="oracle"):
        candidate_names(world.model_copy(update={"candidates": ("oracle",)}))


def test_the_watermark_is_all_that_is_refreshed_and_no_later_moment_may_be_asked_for(
    world: Settings, tmp_path: Path
) -> None:
    through = choose_as_of(world)
    assert choose_as_of(world, day(0).end_at) == day(0).end_at
    with pytest.raises(NotReadyError, match="refreshed through"):
        choose_as_of(world, through.replace(year=2027))
    with pytest.raises(NotReadyError, match="no interval is refreshed"):
        choose_as_of(world.model_copy(update={"home": tmp_path}))


def test_training_again_gives_the_same_version_and_one_entry_in_the_registry(world: Settings, rounds: Rounds) -> None:
    evaluation, versions = rounds[2]
    found = read_round(evaluation)
    for name, version in versions.items():
        assert train_candidate(world, found.training_uri, name) == version
        registered = Registry(world.registry_uri).find(version)
        assert registered is not None
        assert (registered.candidate, registered.as_of) == (name, day(2).end_at)
        assert read_bundle(registered.bundle_root, version).manifest.learned_through_at == found.learned_through_at


def test_every_policy_is_held_against_uniform_where_nothing_is_live_and_against_the_live_one_later(
    settings: Settings, rounds: Rounds
) -> None:
    evaluation, versions = rounds[2]
    found = read_round(evaluation)
    assert found.champion == "uniform"
    assert [result.name for result in found.evaluation.policies] == ["uniform", "best-artwork", "vw-epsilon"]

    live = go_live(settings, rounds, 1, "best-artwork")
    written = Path(url2pathname(urlparse(evaluation).path)).read_bytes()
    later = evaluate_candidates(settings, found.training_uri, [versions["vw-epsilon"]])
    again = read_round(later)
    assert again.champion == live
    assert read_round(round_uri(settings, found.as_of)) == again
    assert Path(url2pathname(urlparse(evaluation).path)).read_bytes() == written
    assert round_uri_with(settings, found.as_of, versions["uniform"]) == evaluation
    assert evaluate_candidates(settings, found.training_uri, [versions["vw-epsilon"]]) == later
    assert {result.name for result in again.evaluation.policies} == {"uniform", "best-artwork", "vw-epsilon", live}


def test_nobody_is_judged_on_profiles_that_it_or_the_champion_learned_from(world: Settings, tmp_path: Path) -> None:
    settings = world.model_copy(update={"policy_url": (tmp_path / "policies").as_uri()})
    as_of = day(2).end_at + timedelta(hours=2)
    for share in (0.2, 0.5):  # the first goes live, and was kept from fewer profiles than the candidates after it
        at_share = settings.model_copy(update={"holdout_share": share})
        training = build_training_set(at_share, as_of)
        version = train_candidate(at_share, training.uri, "best-artwork")
        careless = settings.model_copy(update={"holdout_share": 0.9})
        evaluation = evaluate_candidates(careless, training.uri, [version])
        found = read_round(evaluation)
        judged = [len(batch) for batch in iter_training_batches(training.uri, Side.JUDGE, holdout_share=0.2)]
        assert (found.holdout_share, found.evaluation.log.n_decisions) == (0.2, sum(judged))
        assert read_manifest(found.candidates_url, version).holdout_share == share
        if found.champion == "uniform":
            promote(settings, evaluation, version, by_hand=True)
            publish(settings, evaluation, version)
    assert found.champion != "uniform"


def test_versions_of_one_candidate_or_none_are_not_a_round(world: Settings, rounds: Rounds) -> None:
    found = read_round(rounds[2][0])
    with pytest.raises(ContractError, match="at least one candidate"):
        evaluate_candidates(world, found.training_uri, [])
    with pytest.raises(BundleError, match="no-such"):
        evaluate_candidates(world, found.training_uri, ["no-such"])


def test_a_verdict_leaves_an_audit_record_that_judging_again_does_not_touch(world: Settings, rounds: Rounds) -> None:
    first = judge_candidates(world, rounds[1][0])
    written = first.path.read_bytes()
    second = judge_candidates(world, rounds[1][0])

    assert first.path.read_bytes() == written
    assert second.audit.judged_at == first.audit.judged_at
    assert decode_audit(written) == first.audit
    assert [verdict.candidate for verdict in first.audit.verdicts] == ["best-artwork", "vw-epsilon"]
    assert first.audit.rollback_to == "uniform"
    assert first.path.with_name("report.html").stat().st_size > 1_000_000


def test_no_verdict_is_lost_when_the_round_is_judged_by_other_rules(world: Settings, rounds: Rounds) -> None:
    first = judge_candidates(world, rounds[1][0])
    written = first.path.read_bytes()
    strict = judge_candidates(world.model_copy(update={"gate_min_profiles": 9_999}), rounds[1][0])

    latest = strict.path.with_name("audit.json")
    assert strict.path != first.path
    assert latest.read_bytes() == strict.path.read_bytes() != written
    assert judge_candidates(world, rounds[1][0]).path == first.path
    assert latest.read_bytes() == first.path.read_bytes() == written
    assert strict.audit.look.number == first.audit.look.number


def test_publishing_copies_a_bundle_that_proves_itself_and_moves_the_pointer_once(
    settings: Settings, rounds: Rounds
) -> None:
    version = go_live(settings, rounds, 1, "vw-epsilon")
    live = read_pointer(settings.policies_url)
    assert live is not None
    assert (live.version, live.previous) == (version, None)
    assert read_bundle(settings.policies_url, version).manifest.candidate == "vw-epsilon"

    go_live(settings, rounds, 1, "vw-epsilon")
    assert read_pointer(settings.policies_url) == live


def test_older_data_never_replaces_newer(settings: Settings, rounds: Rounds) -> None:
    go_live(settings, rounds, 2, "vw-epsilon")
    live, champion = read_pointer(settings.policies_url), Registry(settings.registry_uri).champion()
    evaluation, versions = rounds[1]
    for step in (promote, publish):
        with pytest.raises(StaleModelError, match="learned through"):
            step(settings, evaluation, versions["vw-epsilon"])
    assert read_pointer(settings.policies_url) == live
    assert Registry(settings.registry_uri).champion() == champion


def test_a_bundle_that_was_altered_is_not_published(settings: Settings, rounds: Rounds, tmp_path: Path) -> None:
    evaluation, versions = rounds[2]
    file = f"bundles/{versions['uniform']}/policy.npz"
    source = Path(url2pathname(urlparse(read_round(evaluation).candidates_url).path)) / file
    content = source.read_bytes()
    source.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(BundleError, match=r"policy\.npz must have SHA-256"):
            publish(settings, evaluation, versions["uniform"])
    finally:
        source.write_bytes(content)
    assert read_pointer(settings.policies_url) is None

    publish(settings, evaluation, versions["uniform"])
    assert (tmp_path / "policies" / file).read_bytes() == content


def test_only_a_version_of_the_round_is_promoted_or_published(settings: Settings, rounds: Rounds) -> None:
    steps: tuple[Callable[..., object], ...] = (promote, publish)
    for step in steps:
        with pytest.raises(ContractError, match="version must be one of"):
            step(settings, rounds[2][0], rounds[1][1]["vw-epsilon"])


def test_a_verdict_about_a_champion_that_is_live_no_more_promotes_nothing(settings: Settings, rounds: Rounds) -> None:
    go_live(settings, rounds, 1, "best-artwork")
    evaluation, versions = rounds[2]  # held against uniform
    live = read_pointer(settings.policies_url)
    with pytest.raises(StaleModelError, match=r"was held against uniform, but best-artwork-.* is live by now"):
        promote(settings, evaluation, versions["vw-epsilon"])
    assert read_pointer(settings.policies_url) == live
    promote(settings, evaluation, versions["vw-epsilon"], by_hand=True)


def test_what_no_verdict_on_its_round_promotes_is_promoted_by_hand_alone(settings: Settings, rounds: Rounds) -> None:
    evaluation, versions = rounds[1]
    training = read_round(evaluation).training_uri
    own = evaluate_candidates(settings, training, [versions["best-artwork"], versions["uniform"]])
    let_through(settings, own, "best-artwork")
    let_through(settings, rounds[2][0], "uniform")  # of another round
    with pytest.raises(ContractError, match=f"promoted by a verdict on its round, of which '{versions['uniform']}'"):
        promote(settings, own, versions["uniform"])
    assert promote(settings, own, versions["best-artwork"]) == versions["best-artwork"]
    assert promote(settings, own, versions["uniform"], by_hand=True) == versions["uniform"]


def test_every_change_of_the_live_policy_leaves_one_record(settings: Settings, rounds: Rounds) -> None:
    past = len(changes(settings))
    first = go_live(settings, rounds, 1, "best-artwork")
    second = go_live(settings, rounds, 2, "vw-epsilon")
    go_live(settings, rounds, 2, "vw-epsilon")
    rollback(settings)
    promote_by_hand(settings, second)
    publish_champion(settings)
    publish_champion(settings)

    done = changes(settings)[past:]
    assert [(each.kind, each.version, each.by_hand) for each in done[-5:]] == [
        (Kind.PROMOTION, second, False), (Kind.PUBLICATION, second, False), (Kind.ROLLBACK, first, True),
        (Kind.PROMOTION, second, True), (Kind.PUBLICATION, second, True),
    ]  # fmt: skip
    assert (len(done), done[-1].replaced) == (7, first)
    written = sorted(settings.reports_dir.glob("changes/*"))
    written[-1].unlink()  # as if the run had been killed right after it moved the pointer
    publish_champion(settings)
    assert sorted(settings.reports_dir.glob("changes/*")) == written
