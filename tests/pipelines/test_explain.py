"""`marquee explain` says what the scorer says, and why: held against a running scorer, policy by policy."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.bundle import write_bundle
from models.candidate import CANDIDATES, candidate, fit
from models.draw import gumbel
from models.error import ContractError
from models.identity import keys_of
from models.layout import ARTWORK, PROFILE, TITLE
from models.manifest import BundleManifest
from pipelines.cli import app
from pipelines.explain import Explanation, explain
from pipelines.settings import Settings, environment_of
from serving.catalogue_file import write_catalogue
from serving.features import InMemoryFeatures, OnlineFeatures, ProfileFeatures
from serving.policy_source import BundlePolicySource
from serving.request import AskedContext, AskedTitle, PageRequest
from tests.models.world import World
from tests.pipelines.feature_world import day
from tests.serving.bundle_example import publish
from tests.serving.example import NOW, Running, example_catalogue, logged_pages, running

CONTEXT = {"device": "tv", "country": "NL", "language": "nl", "local_hour": 20, "day_of_week": 5}
PROFILES = ("p0", "p1", "p2", "nobody")


def features() -> InMemoryFeatures:
    """Random vectors of every profile, title and artwork of the example catalogue."""
    rng, known = np.random.default_rng(3), example_catalogue()

    def vector(width: int) -> np.ndarray:
        return rng.normal(0.0, 0.5, size=width).astype(np.float32)

    keys = keys_of(["t0", "t1"])
    profiles = {
        name: (ProfileFeatures(vector(len(PROFILE)), keys, np.float32([40, 2]), np.float32([9, 1])), NOW)
        for name in PROFILES[:-1]
    }
    titles = {name: vector(len(TITLE)) for name in known.titles}
    artworks = {name: vector(len(ARTWORK)) for name in known.artworks}
    return InMemoryFeatures(profiles, titles, artworks, ttl=timedelta(days=99_999))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("explain")
    settings = settings_of(home)
    settings.catalogue_path.parent.mkdir(parents=True, exist_ok=True)
    write_catalogue(example_catalogue(), settings.catalogue_path)
    return home


def settings_of(home: Path, **changes: object) -> Settings:
    return Settings(**{"home": home, "uniform_cell_share": 0.0, "policy_poll_seconds": 0.05, **changes})


def write(settings: Settings, name: str, workdir: Path) -> BundleManifest:
    """Train a candidate on a small log of another world; only its weights matter here."""
    world = World(seed=1)
    fitted = fit(candidate(name), lambda: world.log(1_000), workdir / name)
    return write_bundle(
        settings.policies_url,
        candidate=name,
        fitted=fitted,
        fallback=fit(candidate("best-artwork"), lambda: world.log(1_000), workdir).policy,
        sample=world.decisions(20, part=3)[0],
        learned_from_at=datetime(2026, 10, 1, tzinfo=UTC),
        learned_through_at=datetime(2026, 11, 1, tzinfo=UTC),
        n_decisions=1_000,
        reward_rule="quality-play-1",
        holdout_share=0.4,
    )


@contextmanager
def scorer(settings: Settings, store: OnlineFeatures | None = None) -> Iterator[Running]:
    with running(settings, features=store, policies=BundlePolicySource(settings.policies_url)) as server:
        yield server


def held_against(server: Running, settings: Settings, store: OnlineFeatures, profile: str, title: str) -> Explanation:
    """Ask the scorer, then explain the very moment it decided at, and compare."""
    asked = {"title_id": title, "score": 0.4, "row": 2, "column": 3}
    body = {"profile_id": profile, "titles": [asked], "context": CONTEXT, "explain": True}
    answer = server.client.post("/v1/pages", json=body).json()
    page = next(page for page in logged_pages(settings.events_dir) if page.page_id == answer["page_id"])
    request = PageRequest(profile_id=profile, titles=(AskedTitle(**asked),), context=AskedContext(**CONTEXT))
    found = explain(settings, request, page.decided_at, features=store)
    choice = answer["decisions"][0]
    assert (found.policy_version, found.cell) == (answer["policy_version"], answer["cell"])
    assert (found.artwork_id, found.intent) == (choice["artwork_id"], choice["intent"])
    assert found.propensity == choice["propensity"]
    by_name = {each.artwork_id: each for each in found.candidates}
    assert by_name[found.artwork_id].probability == pytest.approx(choice["propensity"], abs=1e-15)
    assert max(by_name, key=lambda name: by_name[name].keyed or -np.inf) == found.artwork_id
    return found


@pytest.mark.parametrize("name", [each.name for each in CANDIDATES])
def test_the_scorers_answer_is_the_one_that_is_explained(name: str, home: Path, tmp_path: Path) -> None:
    settings, store = settings_of(home, policy_url=(tmp_path / "policies").as_uri()), features()
    manifest = write(settings, name, tmp_path)
    publish(settings.policies_url, manifest)
    with scorer(settings, store) as server:
        for profile in PROFILES:
            for title in ("t0", "t2"):
                found = held_against(server, settings, store, profile, title)
                assert found.policy_version == manifest.version
                assert found.features == "ok"
                assert sum(each.probability for each in found.candidates) == pytest.approx(1.0)
                for each in found.candidates:
                    assert each.score == pytest.approx(sum(each.parts.values()))
                noise = gumbel(
                    np.array([0, 4]),
                    keys_of([profile]),
                    keys_of([title]),
                    keys_of([each.artwork_id for each in found.candidates]),
                    np.array([found.epoch], dtype=np.uint64),
                )
                np.testing.assert_array_equal([each.noise for each in found.candidates], noise)


def test_a_scorer_without_a_policy_and_a_profile_of_the_uniform_cell_are_uniform(home: Path, tmp_path: Path) -> None:
    store = features()
    for number, changes in enumerate(({}, {"uniform_cell_share": 1.0})):
        settings = settings_of(home, policy_url=(tmp_path / f"policies-{number}").as_uri(), **changes)
        if changes:
            publish(settings.policies_url, write(settings, "linucb", tmp_path))
        with scorer(settings, store) as server:
            found = held_against(server, settings, store, "p0", "t1")
        assert found.policy_version == "uniform"
        assert found.cell == ("uniform" if changes else "live")
        assert [(each.probability, each.parts, each.score) for each in found.candidates] == [(0.25, {}, None)] * 4


def test_an_unknown_title_is_explained_as_its_default(home: Path, tmp_path: Path) -> None:
    settings, store = settings_of(home, policy_url=(tmp_path / "policies").as_uri()), features()
    publish(settings.policies_url, write(settings, "thompson", tmp_path))
    with scorer(settings, store) as server:
        found = held_against(server, settings, store, "p0", "t99")
    assert (found.intent, len(found.candidates)) == ("fallback:unknown_title", 1)


def test_a_policy_that_is_not_live_is_explained_by_its_version(home: Path, tmp_path: Path) -> None:
    settings = settings_of(home, policy_url=(tmp_path / "policies").as_uri())
    version = write(settings, "vw-bag", tmp_path).version
    request = PageRequest(profile_id="p1", titles=("t0",))
    assert explain(settings, request, NOW, features=features()).policy_version == "uniform"
    found = explain(settings, request, NOW, features=features(), policy=version)
    assert found.policy_version == version
    assert {"taste × style", "artwork id"} <= set(found.candidates[0].parts)
    with pytest.raises(ContractError, match="best-artwork"):
        explain(settings, request, NOW, features=features(), policy="best-artwork")
    with pytest.raises(ContractError, match="never-made"):
        explain(settings, request, NOW, features=features(), policy="never-made")


def test_a_home_without_a_feature_store_is_cold_and_says_so(home: Path) -> None:
    found = explain(settings_of(home), PageRequest(profile_id="p0", titles=("t0",)), NOW)
    assert "no feature definitions" in found.features
    assert len(found.candidates) == 4


class Broken(InMemoryFeatures):
    """A store whose rows of profiles cannot be read."""

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        raise TimeoutError(profile_id)


def test_whether_there_is_a_row_of_the_profile_is_told(home: Path) -> None:
    def known(profile: str, store: OnlineFeatures) -> bool | None:
        request = PageRequest(profile_id=profile, titles=("t0",))
        return explain(settings_of(home), request, NOW, features=store).profile_is_known

    assert (known("p0", features()), known("nobody", features()), known("p0", Broken())) == (True, False, None)


def test_the_command_says_that_a_profile_is_unknown(feast_world: Settings, tmp_path: Path) -> None:
    settings = feast_world.model_copy(update={"policy_url": (tmp_path / "policies").as_uri()})
    at = day(3).start_at.replace(tzinfo=None, hour=12).isoformat()

    def told(profile: str, *more: str) -> str:
        done = CliRunner().invoke(app, ["explain", profile, "title-1", "--at", at, *more], env=environment_of(settings))
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "Unknown profile: the feature store has no row of profile-1x, or none within" in told("profile-1x")
    assert "Unknown profile: ~once is anonymous" in told("~once")
    assert "Unknown profile" not in told("profile-1")
    assert json.loads(told("profile-1x", "--json"))["profile_is_known"] is False


def test_the_command_reads_features_as_the_scorer_does(feast_world: Settings, tmp_path: Path) -> None:
    """Feast behind both; the profile is known, so that cold features would give another answer."""
    settings = feast_world.model_copy(
        update={"policy_url": (tmp_path / "policies").as_uri(), "uniform_cell_share": 0.0}
    )
    publish(settings.policies_url, write(settings, "linucb", tmp_path))
    at = day(3).start_at.replace(tzinfo=None, hour=12).isoformat()
    words = ["explain", "profile-1", "title-1", "--device", "tv", "--score", "0.5", "--at", at]
    done = CliRunner().invoke(app, [*words, "--json"], env=environment_of(settings))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)

    from serving.feast_features import open_features

    store = open_features(settings)
    asked = AskedTitle(title_id="title-1", score=0.5, row=0, column=0)
    request = PageRequest(profile_id="profile-1", titles=(asked,), context=AskedContext(device="tv"))
    moment = datetime.fromisoformat(f"{at}+00:00")
    found = explain(settings, request, moment, features=store)
    cold = explain(settings, request, moment, features=InMemoryFeatures())
    assert told["propensity"] == found.propensity
    assert [each["score"] for each in told["candidates"]] == [each.score for each in found.candidates]
    assert found.features == "ok"
    assert [each.score for each in found.candidates] != [each.score for each in cold.candidates]
    shown = CliRunner().invoke(app, words, env=environment_of(settings))
    assert shown.exit_code == 0
    assert "taste × style" in shown.stdout
    assert f"{found.artwork_id} has the greatest" in shown.stdout
