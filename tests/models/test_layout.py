"""The layout of feature vectors, the context vector, and stable splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.assignment import in_uniform_cell, is_held_out
from models.context import context_matrix, device_place
from models.error import ContractError
from models.identity import hash64, keys_of
from models.layout import (
    ARTWORK,
    CONTEXT,
    CONTEXT_PART,
    DEVICES,
    FAMILIARITY,
    FAMILIARITY_PART,
    FEATURE_SERVICE,
    GENRES,
    N_PLACES,
    PROFILE,
    PROFILE_PART,
    SHARED,
    TASTES,
    TITLE,
    TITLE_PART,
    taste_place,
    taste_vector,
)
from models.vw_encoding import ARTWORK_NAMESPACES, SHARED_NAMESPACES


def test_parts_of_the_shared_vector_are_the_named_vectors_end_to_end() -> None:
    parts = {"profile": PROFILE, "title": TITLE, "familiarity": FAMILIARITY, "context": CONTEXT}
    places = (PROFILE_PART, TITLE_PART, FAMILIARITY_PART, CONTEXT_PART)
    for (prefix, names), place in zip(parts.items(), places, strict=True):
        assert SHARED[place] == tuple(f"{prefix}/{name}" for name in names)
    assert CONTEXT_PART.stop == len(SHARED)
    for names in (SHARED, ARTWORK):
        assert len(set(names)) == len(names)


def test_a_changed_layout_is_a_new_feature_service() -> None:
    """Whoever changes these numbers changes FEATURE_SERVICE too, or old policies would read the wrong columns."""
    digest = hash64("\n".join((*SHARED, "", *ARTWORK)))
    assert (FEATURE_SERVICE, len(SHARED), len(ARTWORK), digest) == ("artwork_ranker_v1", 83, 28, 4224091806107410041)


def test_the_learner_knows_every_column_once_but_what_the_title_is_about() -> None:
    columns = np.concatenate([space.columns for space in SHARED_NAMESPACES])
    left_out = set(range(len(SHARED))) - set(columns.tolist())
    assert {SHARED[column] for column in left_out} == {f"title/about:{name}" for name in TASTES}
    assert len(set(columns.tolist())) == len(columns)
    assert np.concatenate([space.columns for space in ARTWORK_NAMESPACES]).tolist() == list(range(len(ARTWORK)))
    named = {space.letter: SHARED[space.first] for space in SHARED_NAMESPACES}
    assert named == {
        "U": "profile/taste:action",
        "P": "profile/log_impressions",
        "T": "title/log_age_days",
        "F": "familiarity/seen_before",
        "C": "context/device:tv",
    }
    assert ARTWORK[ARTWORK_NAMESPACES[1].first] == "take_lift"


@given(name=st.text(st.characters(exclude_categories=["Cs"])))
def test_every_taste_has_a_place(name: str) -> None:
    place = taste_place(name)
    assert place == taste_place(f" {name.strip()} ")
    assert (place < len(GENRES)) == (name.strip().lower() in GENRES)
    assert place < len(TASTES)


@given(weights=st.dictionaries(st.sampled_from([*GENRES, "noir", "De Niro"]), st.floats(0.01, 100)))
def test_a_taste_vector_has_length_one_or_is_empty(weights: dict[str, float]) -> None:
    vector = taste_vector(weights)
    assert vector.dtype == np.float32
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0 if weights else 0.0, abs=1e-6)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(weight: float) -> None:
    with pytest.raises(ContractError, match="comedy"):
        taste_vector({"comedy": weight})


def context(**changes: object) -> dict[str, float]:
    given = {"device": "tv", "country": "NL", "language": "nl", "local_hour": 6, "day_of_week": 0}
    given |= {"row": 0, "column": 0, "score": 0.0} | changes
    row = context_matrix(**{name: [value] for name, value in given.items()})[0]
    return dict(zip(CONTEXT, row.tolist(), strict=True))


def test_a_context_says_what_the_request_said() -> None:
    found = context(device="Mobile", local_hour=18, day_of_week=0, row=1, column=7, score=0.25)
    assert [found[f"device:{name}"] for name in DEVICES] == [0, 1, 0, 0, 0]
    assert (found["hour_sin"], found["hour_cos"]) == pytest.approx((-1, 0), abs=1e-6)
    assert (found["day_sin"], found["day_cos"]) == pytest.approx((0, 1), abs=1e-6)
    assert (found["row"], found["column"], found["score"]) == pytest.approx((np.log(2), np.log(8), 0.25))
    assert sum(found[f"country:{place}"] for place in range(N_PLACES)) == 1
    assert found[f"country:{hash64('nl') % N_PLACES}"] == 1


def test_what_a_request_does_not_say_is_zero() -> None:
    found = context(device="", country="", language="")
    assert found["device:other"] == 1
    assert all(found[name] == 0 for name in CONTEXT if name.startswith(("country", "language")))


def test_contexts_are_encoded_independently() -> None:
    both = context_matrix(
        device=["tv", "fridge"],
        country=["NL", ""],
        language=["", "en"],
        local_hour=[1, 2],
        day_of_week=[3, 4],
        row=[0, 1],
        column=[2, 3],
        score=[0.1, 0.2],
    )
    alone = context(device="fridge", country="", language="en", local_hour=2, day_of_week=4, row=1, column=3, score=0.2)
    np.testing.assert_allclose(both[1], list(alone.values()))
    assert device_place("fridge") == len(DEVICES) - 1
    assert context_matrix(
        device=[], country=[], language=[], local_hour=[], day_of_week=[], row=[], column=[], score=[]
    ).shape == (0, len(CONTEXT))


@pytest.mark.parametrize("split", [in_uniform_cell, is_held_out])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 1.0])
def test_a_split_takes_its_share_of_profiles_and_keeps_them(split: object, share: float) -> None:
    keys = keys_of(f"profile-{number}" for number in range(20_000))
    inside = split(keys, share)
    assert inside.mean() == pytest.approx(share, abs=5 * np.sqrt(0.25 / 20_000))
    np.testing.assert_array_equal(split(keys[::-1], share)[::-1], inside)
    assert (split(keys, min(share + 0.1, 1.0)) >= inside).all()


def test_the_two_splits_know_nothing_of_each_other() -> None:
    keys = keys_of(f"profile-{number}" for number in range(40_000))
    uniform, held_out = in_uniform_cell(keys, 0.5), is_held_out(keys, 0.4)
    assert held_out[uniform].mean() == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / 20_000))
    assert held_out[~uniform].mean() == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / 20_000))
