"""`marquee evaluate` holds any policy against any other, by the log of profiles that nobody learns from."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.audit import decode_audit
from models.assignment import is_held_out
from models.best_artwork import fit_best_artwork
from models.candidate import candidate
from models.error import ContractError, NotReadyError
from models.policy import UniformPolicy
from pipelines import compare as module
from pipelines.cli import app
from pipelines.compare import Compared, compare
from pipelines.policy_lookup import find_policy
from pipelines.promotion import promote, publish
from pipelines.replay import evaluate_candidates
from pipelines.settings import Settings, environment_of
from pipelines.training import train_candidate
from pipelines.training_set import Side, TrainingSet, build_training_set, iter_training_batches
from pipelines.watermark import mark_refreshed
from tests.pipelines.feature_world import day

NAMES = ("best-artwork", "vw-epsilon")
FROM, TO = day(0).start_at, day(2).end_at


@pytest.fixture(scope="module")
def settings(feast_world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("compare")
    # The home is shared, and a candidate's name means that of the newest round: other tests' rounds go first.
    shutil.rmtree(feast_world.reports_dir, ignore_errors=True)
    update = {"registry_url": f"sqlite:///{root / 'registry.db'}", "policy_url": (root / "policies").as_uri()}
    return feast_world.model_copy(update=update | {"gate_min_profiles": 2})


@pytest.fixture(scope="module")
def versions(settings: Settings) -> dict[str, str]:
    """Two candidates of a round as of the second day, of which one became champion and went live."""
    training = build_training_set(settings, day(1).end_at)
    made = {name: train_candidate(settings, training.uri, name) for name in NAMES}
    evaluation = evaluate_candidates(settings, training.uri, list(made.values()))
    promote(settings, evaluation, made["best-artwork"], by_hand=True)
    publish(settings, evaluation, made["best-artwork"])
    return made


def judged(settings: Settings, training: TrainingSet) -> tuple[int, int]:
    """How many decisions, and of how many profiles, the judging side has."""
    batches = list(iter_training_batches(training.uri, Side.JUDGE, holdout_share=settings.holdout_share))
    keys = np.concatenate([logged.batch.profile_keys for logged in batches])
    return len(keys), len(np.unique(keys))


def test_a_candidate_is_judged_on_the_profiles_that_nobody_learns_from(
    settings: Settings, versions: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    real = module.evaluate

    def watched(policies, batches, **options):  # type: ignore[no-untyped-def]
        seen.extend(logged.batch.profile_keys for logged in batches())
        return real(policies, batches, **options)

    monkeypatch.setattr(module, "evaluate", watched)
    found = compare(settings, "vw-epsilon", "uniform", FROM, TO)
    keys = np.concatenate(seen)
    assert is_held_out(keys, settings.holdout_share).all()
    assert (found.n_decisions, found.n_profiles) == judged(settings, build_training_set(settings, TO))
    assert (len(keys), len(np.unique(keys))) == (found.n_decisions, found.n_profiles)
    assert (found.candidate, found.champion) == (versions["vw-epsilon"], "uniform")
    assert list(found.policies) == ["uniform", "best-artwork", versions["vw-epsilon"]]
    assert found.reason.split()[1].rstrip(":") == versions["vw-epsilon"]


@pytest.mark.usefixtures("versions")
def test_the_built_in_best_artwork_is_fitted_on_the_profiles_that_train(settings: Settings) -> None:
    log = module._Log(settings, FROM, TO)
    training = build_training_set(settings, TO)
    batches = iter_training_batches(training.uri, Side.TRAIN, holdout_share=settings.holdout_share)
    expected = fit_best_artwork(batches, candidate("best-artwork").exploration).policy
    sample = next(log.batches(Side.JUDGE)).batch
    assert np.array_equal(log.best_artwork().pmf(sample), expected.pmf(sample))
    assert log.best_artwork() is log.best_artwork()


def test_policies_go_by_role_candidate_or_version(settings: Settings, versions: dict[str, str]) -> None:
    def named(name: str) -> str:
        return find_policy(settings, name, UniformPolicy).name

    assert {named(name) for name in ("champion", "live", versions["best-artwork"])} == {versions["best-artwork"]}
    assert {named(name) for name in ("vw-epsilon", versions["vw-epsilon"])} == {versions["vw-epsilon"]}
    # the built-in comes before the round's candidate of that name
    assert named("best-artwork") == "best-artwork"
    with pytest.raises(
        ContractError, match=r"must be uniform, best-artwork, .*got 'vw-epsilom': is vw-epsilon meant\?"
    ):
        named("vw-epsilom")
    # a published bundle is found where scorers look, though the registry be lost
    lost = settings.model_copy(update={"registry_url": f"{settings.registry_url}-lost"})
    assert find_policy(lost, versions["best-artwork"], UniformPolicy).name == versions["best-artwork"]


def test_only_decisions_since_from_whose_rewards_were_known_by_to_count(settings: Settings) -> None:
    since = day(1).start_at + timedelta(hours=6)
    log = module._Log(settings, since, day(2).end_at)
    at = np.concatenate([logged.decided_at for logged in log.batches(Side.ALL)])
    known = [
        logged.decided_at
        for logged in iter_training_batches(
            build_training_set(settings, day(2).end_at).uri, Side.ALL, holdout_share=0.4
        )
    ]
    expected = np.concatenate(known)
    expected = expected[expected >= np.datetime64(since.replace(tzinfo=None))]
    assert np.array_equal(np.sort(at), np.sort(expected))
    assert 0 < len(at) < sum(map(len, known))


def test_the_training_sets_that_candidates_learn_from_are_left_alone(
    settings: Settings, versions: dict[str, str]
) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in settings.training_dir.rglob("*") if path.is_file()}

    before = contents()
    compare(settings, "vw-epsilon", "uniform", day(1).start_at, day(1).end_at)
    assert contents() == before


@pytest.mark.parametrize(
    ("name", "against", "message"),
    [
        ("champion", "live", "cannot be held against itself"),
        ("uniform", "uniform", "cannot be held against itself"),
        (
            "oracle",
            "uniform",
            "must be uniform, best-artwork, champion, live, vw-epsilon or the version of a bundle, got 'oracle'$",
        ),
        ("../x", "uniform", "got '../x'"),
    ],
)
@pytest.mark.usefixtures("versions")
def test_what_cannot_be_compared_is_refused(settings: Settings, name: str, against: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        compare(settings, name, against, FROM, TO)


def test_in_a_home_in_which_nothing_is_live_uniform_is(settings: Settings, tmp_path: Path) -> None:
    bare = settings.model_copy(
        update={"policy_url": tmp_path.as_uri(), "registry_url": f"sqlite:///{tmp_path / 'other.db'}"}
    )
    assert compare(bare, "best-artwork", "live", FROM, TO).champion == "uniform"
    with pytest.raises(ContractError, match="there is no champion yet"):
        compare(bare, "uniform", "champion", FROM, TO)


@pytest.mark.usefixtures("versions")
def test_a_stretch_that_is_empty_or_not_refreshed_is_refused(settings: Settings) -> None:
    with pytest.raises(ContractError, match="must begin before it ends"):
        compare(settings, "vw-epsilon", "uniform", TO, FROM)
    with pytest.raises(NotReadyError, match="refreshed through"):
        compare(settings, "vw-epsilon", "uniform", FROM, TO + timedelta(days=9))
    with pytest.raises(NotReadyError, match="no reward matured"):
        compare(settings, "vw-epsilon", "uniform", FROM - timedelta(days=9), FROM - timedelta(days=8))
    with pytest.raises(NotReadyError, match="it takes 12 hours to be known"):
        compare(settings, "vw-epsilon", "uniform", TO - settings.maturity + timedelta(hours=1), TO)


def test_a_gap_counts_where_the_stretch_has_it_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Settings(home=tmp_path, training_window_days=2.0)
    for number in (0, 1, *range(4, 10)):
        mark_refreshed(home, day(number))
    with pytest.raises(NotReadyError, match="no features were refreshed"):
        module._Log(home, day(0).start_at, day(9).end_at)
    monkeypatch.setattr(module, "build_training_set", lambda *asked: asked)
    longer = home.model_copy(update={"training_window_days": 28.0})
    assert module._Log(longer, day(5).start_at, day(9).end_at).found[1] == day(9).end_at  # type: ignore[index]


@pytest.mark.usefixtures("versions")
def test_the_command_prints_a_table_or_json_and_writes_the_report_with_its_record(
    settings: Settings, versions: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    report = tmp_path / "report.html"
    window = ["--from", f"{FROM:%Y-%m-%d}", "--to", f"{TO:%Y-%m-%d}"]
    done = CliRunner().invoke(app, ["evaluate", "vw-epsilon", "--against", "uniform", *window, "--report", str(report)])
    assert done.exit_code == 1, done.output  # three dozen decisions settle nothing
    assert f"{versions['vw-epsilon']}" in report.read_text()
    with pytest.raises(ContractError, match="its record lies beside it"):
        compare(settings, "vw-epsilon", "uniform", FROM, TO, report.with_suffix(".json"))
    audit = decode_audit(report.with_suffix(".json").read_bytes())
    assert [verdict.candidate for verdict in audit.verdicts] == [versions["vw-epsilon"]]
    assert audit.reason in " ".join(done.output.split())

    as_json = CliRunner().invoke(app, ["evaluate", "vw-epsilon", "--against", "uniform", *window, "--json"])
    told = json.loads(as_json.output)
    assert (told["decision"], told["reason"]) == ("hold", audit.reason)
    assert told["n_decisions"] == audit.evaluation.log.n_decisions
    assert told["policies"]["uniform"]["dr"]["value"] == audit.evaluation.policy("uniform").estimates["dr"].value


@pytest.mark.parametrize(
    ("against", "is_published", "name", "label"),
    [
        ("uniform", True, "uniform", "compared with"),
        ("best-artwork", True, "best-artwork", "compared with"),
        ("champion", True, "{version}", "champion"),
        ("live", True, "{version}", "live"),
        ("live", False, "uniform", "live"),
    ],
)
def test_what_is_compared_with_is_called_what_it_is(
    settings: Settings,
    versions: dict[str, str],
    tmp_path: Path,
    against: str,
    is_published: bool,
    name: str,
    label: str,
) -> None:
    bare = settings.model_copy(
        update={"policy_url": tmp_path.as_uri(), "registry_url": f"sqlite:///{tmp_path / 'other.db'}"}
    )
    asked = settings if is_published else bare
    report, name = tmp_path / "report.html", name.format(version=versions["best-artwork"])
    window = ["--from", f"{FROM:%Y-%m-%d}", "--to", f"{TO:%Y-%m-%d}"]
    words = ["evaluate", "vw-epsilon", "--against", against, *window, "--report", str(report)]
    done = CliRunner().invoke(app, words, env=environment_of(asked))
    assert done.exit_code == 1, done.output
    cells = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    policies = " ".join(cells)  # long names take two lines
    assert f"{name} ({label})" in policies
    assert f"{versions['vw-epsilon']} (candidate)" in policies
    assert policies.count("(") == 2
    page = report.read_text()
    assert f"UTC; {label} {name}</p>" in page
    assert f"Against {name}</h2>" in page


def test_a_promotion_and_a_refusal_have_their_exit_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Compared] = {}
    monkeypatch.setattr(module, "compare", lambda *_: given["found"])
    for decision, code in (("promote", 0), ("hold", 1), ("reject", 1)):
        given["found"] = Compared(
            candidate="a",
            champion="b",
            role=module.Role.OTHER,
            from_at=FROM,
            to_at=TO,
            n_decisions=9,
            n_profiles=3,
            decision=module.Ruling(decision),
            reason="Because [it] is so.",
            difference=None,
            policies={"a": {}, "b": {}},
            effective_sample_sizes={"a": 1.0, "b": 2.0},
            independent_sample_sizes={"a": 1.0, "b": 1.0},
        )
        arguments = ["evaluate", "a", "--against", "b", "--from", "2026-11-01", "--to", "2026-11-02"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == code, done.output
        assert f"{decision}: Because [it] is so." in done.output
