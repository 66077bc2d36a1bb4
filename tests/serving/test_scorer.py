from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.assignment import in_uniform_cell
from models.catalogue import Artwork, Catalogue, Title
from models.context import context_matrix
from models.decision import Cell, Page
from models.draw import draw
from models.error import FeatureUnavailableError
from models.identity import keys_of
from models.layout import ARTWORK, CONTEXT_PART, FAMILIARITY, FEATURE_SERVICE, PROFILE, TITLE
from serving.catalogue_index import build_index, microseconds
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.lookup import COLD
from serving.page_batch import build_page_batch
from serving.policy import LoadedPolicy
from serving.request import AskedContext, AskedTitle
from tests.serving.example import (
    LAUNCHED,
    NOW,
    BrokenPolicy,
    TiltedPolicy,
    example_catalogue,
    hours,
    loaded,
)
from tests.serving.scorer_example import ask, scorer_of


def _rich_features() -> InMemoryFeatures:
    generator = np.random.default_rng(3)
    catalogue = example_catalogue()
    profile = ProfileFeatures(
        generator.normal(size=len(PROFILE)).astype(np.float32),
        keys_of(["t1", "t9"]),
        np.float32([30, 1]),
        np.float32([4, 1]),
    )
    return InMemoryFeatures(
        {"p": (profile, NOW - hours(1))},
        {name: generator.normal(size=len(TITLE)).astype(np.float32) for name in catalogue.titles},
        {name: generator.normal(size=len(ARTWORK)).astype(np.float32) for name in catalogue.artworks},
    )


def test_without_a_policy_every_artwork_has_the_same_and_true_propensity() -> None:
    page = scorer_of().decide(ask(), NOW)
    assert [decision.propensity for decision in page.decisions] == [0.25] * 3
    assert page.policy_version == "uniform"
    assert {decision.intent for decision in page.decisions} == {"live"}
    assert page.cell is Cell.LIVE
    assert page.feature_service == FEATURE_SERVICE
    assert [decision.actions for decision in page.decisions] == [
        tuple(f"t{n}-a{k}" for k in range(4)) for n in range(3)
    ]
    assert [decision.decision_id for decision in page.decisions] == [f"{page.page_id}-{n}" for n in range(3)]


def test_the_propensity_is_that_of_the_artwork_drawn() -> None:
    scorer = scorer_of(loaded(tilt=1.0))
    for n in range(200):
        for decision in scorer.decide(ask(profile_id=f"p{n}"), NOW).decisions:
            place = decision.actions.index(decision.artwork_id)
            assert decision.propensity == pytest.approx((1 + place) / 10, abs=1e-15)


def test_artworks_are_drawn_as_often_as_their_propensity_says() -> None:
    scorer = scorer_of(loaded(tilt=1.0))
    n_profiles = 4_000
    shown = Counter(
        scorer.decide(ask("t0", profile_id=f"p{n}"), NOW).decisions[0].artwork_id for n in range(n_profiles)
    )
    for place in range(4):
        expected = (1 + place) / 10
        # Five standard errors: draws are keyed by fixed ids, so the outcome is the same at every run.
        tolerance = 5 * np.sqrt(expected * (1 - expected) / n_profiles)
        assert shown[f"t0-a{place}"] / n_profiles == pytest.approx(expected, abs=tolerance)


def test_an_epoch_waits_until_the_features_of_its_beginning_are_in_the_index() -> None:
    today = NOW.replace(hour=0, minute=0)
    scorer = scorer_of(loaded("v1"), features=InMemoryFeatures(known_us=microseconds(today - timedelta(days=1))))
    epochs = [scorer.decide(ask(), today + timedelta(hours=hour)).epoch for hour in (-1, 1, 4)]
    number = int(today.timestamp() // 86_400)
    assert epochs == [number - 1, number - 1, number], "it waits for three hours"
    scorer.index = build_index(example_catalogue(), InMemoryFeatures(known_us=microseconds(today)))
    assert scorer.decide(ask(), today + timedelta(hours=1)).epoch == number


def test_the_same_request_gives_the_same_artwork_all_epoch_long_and_another_epoch_redraws() -> None:
    scorer = scorer_of(loaded())
    midnight = datetime.combine(NOW.date(), datetime.min.time(), NOW.tzinfo)

    def shown(at: datetime) -> list[list[str]]:
        pages = [scorer.decide(ask(profile_id=f"p{n}"), at) for n in range(50)]
        assert {page.epoch for page in pages} == {int(at.timestamp() // 86_400)}
        return [[decision.artwork_id for decision in page.decisions] for page in pages]

    first = shown(midnight)
    assert shown(midnight + timedelta(hours=24, microseconds=-1)) == first
    assert shown(midnight + hours(24)) != first


def test_profiles_of_the_uniform_cell_see_uniform_artwork_and_the_log_says_so() -> None:
    scorer = scorer_of(loaded(tilt=9.0), uniform_share=0.3)
    for n in range(100):
        page = scorer.decide(ask(profile_id=f"p{n}"), NOW)
        is_uniform = bool(in_uniform_cell(keys_of([f"p{n}"]), 0.3)[0])
        assert page.cell is (Cell.UNIFORM if is_uniform else Cell.LIVE)
        assert page.policy_version == ("uniform" if is_uniform else "v1")
        if is_uniform:
            assert {decision.propensity for decision in page.decisions} == {0.25}


@pytest.mark.parametrize(
    "broken", [ValueError("no"), ZeroDivisionError(), KeyError("x"), float("nan"), -0.25, 0.2, float("inf"), 0.0]
)
def test_a_policy_that_fails_steps_down_to_the_best_artwork_with_its_own_propensity(broken: float | Exception) -> None:
    scorer = scorer_of(LoadedPolicy("v1", BrokenPolicy(broken), TiltedPolicy(0.5)))
    page = scorer.decide(ask(), NOW)
    assert page.policy_version == "v1"
    for decision in page.decisions:
        place = decision.actions.index(decision.artwork_id)
        assert decision.propensity == pytest.approx((1 + place / 2) / 7)
        assert decision.intent == "fallback:policy_failed"


def test_the_last_step_down_is_the_default_artwork_with_probability_one() -> None:
    broken = BrokenPolicy(float("nan"))
    for decision in scorer_of(LoadedPolicy("v1", broken, broken)).decide(ask(), NOW).decisions:
        assert decision.artwork_id == f"{decision.title_id}-a1"
        assert (decision.propensity, decision.intent) == (1.0, "fallback:best_failed")
        assert len(decision.actions) == 4


def test_an_unlearned_page_comes_from_the_best_artwork_or_the_default() -> None:
    scorer = scorer_of(loaded(tilt=1.0))
    page = scorer.choose_unlearned(COLD, ask(), NOW, "log_unwritable").record()
    for decision in page.decisions:
        assert decision.propensity == pytest.approx((1 + decision.actions.index(decision.artwork_id) / 2) / 7)
        assert decision.intent == "fallback:log_unwritable"
    page = scorer_of().choose_unlearned(COLD, ask(), NOW, "log_unwritable").record()
    assert [decision.artwork_id for decision in page.decisions] == ["t0-a1", "t1-a1", "t2-a1"]
    assert {decision.propensity for decision in page.decisions} == {1.0}


def test_an_unknown_title_is_served_its_default_and_a_listed_artwork_cold() -> None:
    page = scorer_of(loaded()).decide(ask("nobody", AskedTitle(title_id="new", artworks=("x", "t0-a0")), "t0"), NOW)
    unknown, listed, known = page.decisions
    assert (unknown.artwork_id, unknown.propensity) == ("nobody:default", 1.0)
    assert unknown.actions == ("nobody:default",)
    assert unknown.intent == "fallback:unknown_title"
    assert listed.actions == ("x", "t0-a0")
    assert listed.intent == known.intent == "live"
    assert listed.propensity == pytest.approx([1 / 3, 2 / 3][listed.actions.index(listed.artwork_id)])


def test_only_launched_artworks_are_eligible() -> None:
    catalogue = Catalogue(
        [Title("t", LAUNCHED), Title("soon", LAUNCHED), Title("bare", LAUNCHED)],
        [
            Artwork("old", "t", LAUNCHED),
            Artwork("new", "t", NOW, is_default=True),
            Artwork("old2", "t", LAUNCHED),
            Artwork("later", "soon", NOW + hours(1)),
        ],
    )
    scorer = scorer_of(catalogue=catalogue)
    before = scorer.decide(ask("t", "soon", "bare"), NOW - timedelta(microseconds=1)).decisions
    assert before[0].actions == ("old", "old2")
    assert scorer.decide(ask("t"), NOW).decisions[0].actions == ("old", "new", "old2")
    for decision in before[1:]:
        assert decision.actions == (f"{decision.title_id}:default",)
        assert decision.intent == "fallback:no_artwork"
    assert scorer.decide(ask("soon"), NOW + hours(1)).decisions[0].artwork_id == "later"
    assert scorer.choose_unlearned(COLD, ask("t"), LAUNCHED, "x").artwork_ids == ["old"]


def test_features_are_logged_as_they_were_served() -> None:
    features = _rich_features()
    page = scorer_of(loaded(), features=features).decide(ask(AskedTitle(title_id="t1"), "t0", "unknown"), NOW)
    profile = features.profile("p", NOW)
    assert profile is not None
    np.testing.assert_array_equal(np.frombuffer(page.profile_features, "<f4"), profile.vector)
    for decision in page.decisions:
        title, familiarity, artwork = np.split(
            np.frombuffer(decision.features, "<f4"), [len(TITLE), len(TITLE) + len(FAMILIARITY)]
        )
        np.testing.assert_array_equal(title, features.titles([decision.title_id]).vectors[0])
        np.testing.assert_array_equal(artwork, features.artworks([decision.artwork_id]).vectors[0])
        seen = np.float32([1, np.log1p(30), np.log1p(4)]) if decision.title_id == "t1" else np.zeros(3)
        np.testing.assert_allclose(familiarity, seen, rtol=1e-6)


def test_a_cold_profile_is_logged_as_zeros_and_one_that_could_not_be_read_as_nothing() -> None:
    class Down(InMemoryFeatures):
        def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
            raise FeatureUnavailableError("redis is gone")

    assert scorer_of().decide(ask(), NOW).profile_features == bytes(4 * len(PROFILE))
    page = scorer_of(loaded(), features=Down()).decide(ask("t0", "unknown"), NOW)
    assert page.profile_features == b""
    assert [decision.intent for decision in page.decisions] == [
        "fallback:features_unavailable",
        "fallback:unknown_title",
    ]
    assert page.policy_version == "v1"
    assert page.decisions[0].propensity == pytest.approx((1 + int(page.decisions[0].artwork_id[-1])) / 10)
    anonymous = scorer_of(features=Down()).decide(ask(profile_id="~seen-once"), NOW)
    assert {decision.intent for decision in anonymous.decisions} == {"live"}


def test_every_draw_can_be_repeated_from_the_log_alone() -> None:
    listed = AskedTitle(title_id="t2", artworks=("x", "t2-a3", "y", "t2-a0"))
    for n in range(30):
        page = scorer_of().decide(
            ask("nobody", "t1", listed, AskedTitle(title_id="z", artworks=("x", "z"))), NOW + hours(n)
        )
        actions = [decision.actions for decision in page.decisions]
        counts = np.array([len(ids) for ids in actions])
        chosen = draw(
            np.repeat(1.0 / counts, counts),
            np.concatenate(([0], np.cumsum(counts))),
            keys_of([page.profile_id] * len(actions)),
            keys_of([decision.title_id for decision in page.decisions]),
            keys_of([name for ids in actions for name in ids]),
            np.full(len(actions), page.epoch, dtype=np.uint64),
        )
        flat = [name for ids in actions for name in ids]
        assert [flat[row] for row in chosen] == [decision.artwork_id for decision in page.decisions]


def test_the_log_holds_the_hour_and_day_that_the_policy_saw() -> None:
    page = scorer_of().decide(ask(context=AskedContext(device="tv", day_of_week=6)), NOW)
    assert (page.context.local_hour, page.context.day_of_week, page.context.device) == (NOW.hour, 6, "tv")


@given(
    st.lists(
        st.builds(
            AskedTitle,
            title_id=st.just(""),
            score=st.floats(-1e6, 1e6, width=32),
            row=st.integers(0, 10_000),
            column=st.none() | st.integers(0, 10_000),
        ),
        min_size=1,
        max_size=5,
    ),
    st.builds(
        AskedContext,
        device=st.sampled_from(["", "tv", "TV", "fridge"]),
        country=st.sampled_from(["", "DE", "us"]),
        language=st.sampled_from(["", "de"]),
        local_hour=st.none() | st.integers(0, 23),
        day_of_week=st.none() | st.integers(0, 6),
    ),
)
@settings(max_examples=50, deadline=None)
def test_a_page_encodes_its_context_as_training_does(titles: list[AskedTitle], context: AskedContext) -> None:
    asked = tuple(
        AskedTitle(title_id=f"t{n}", score=title.score, row=title.row, column=title.column)
        for n, title in enumerate(titles)
    )
    index = build_index(example_catalogue(), InMemoryFeatures())
    batch = build_page_batch([(ask(*asked, context=context), None)], index, NOW)
    (page,) = batch.pages
    n, resolved = len(asked), context.at(NOW)
    expected = context_matrix(
        device=[resolved.device] * n,
        country=[resolved.country] * n,
        language=[resolved.language] * n,
        local_hour=[resolved.local_hour or 0] * n,
        day_of_week=[resolved.day_of_week or 0] * n,
        row=page.rows,
        column=page.columns,
        score=page.scores,
    )
    np.testing.assert_array_equal(batch.batch.shared[:, CONTEXT_PART], expected)


def test_vectors_that_are_not_finite_are_served_as_zeros_and_counted() -> None:
    bad = np.full(len(ARTWORK), np.nan, dtype=np.float32)
    index = build_index(example_catalogue(), InMemoryFeatures(artworks={"t0-a0": bad}))
    assert index.n_refused_vectors == 1
    assert not index.artwork_vectors.any()


def test_two_scorers_with_the_same_inputs_write_the_same_pages() -> None:
    def pages() -> list[Page]:
        scorer = scorer_of(loaded(), features=_rich_features())
        return [scorer.decide(ask(profile_id=f"p{n % 3}"), NOW + timedelta(minutes=n)) for n in range(20)]

    assert pages() == pages()
