"""The adapter of Vowpal Wabbit: text, training, compiled weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from vowpal_wabbit_next import TextFormatParser, Workspace

from models import vw
from models.batch import Batch, LoggedBatch
from models.candidate import CANDIDATES, Learner, candidate, fit
from models.ensemble import EnsemblePolicy
from models.error import ContractError, DivergedModelError, LearnerError, NotReadyError
from models.exploration import Exploration, ExplorationKind
from models.fitted import FittedPolicy
from models.linear import LinearPolicy
from models.policy import UniformPolicy
from models.vw import check_parity, fit_vw
from models.vw_driver import Driver
from models.vw_encoding import ARTWORK_NAMESPACES, SHARED_NAMESPACES, as_sent
from models.vw_model import compile_policy
from models.vw_state import Tally, Written
from models.vw_text import text_of
from tests.models.conftest import Fitted
from tests.models.example import under
from tests.models.world import World, batch_of, logged_of

RULE = Exploration(ExplorationKind.EPSILON, 0.05)
VW_NAMES = [each.name for each in CANDIDATES if each.learner is Learner.VW]


@pytest.fixture
def logged() -> LoggedBatch:
    rng = np.random.default_rng(1)
    batch = batch_of(np.array([1, 4, 2, 9, 3]), rng)
    batch.shared[rng.random(batch.shared.shape) < 0.5] = 0.0
    batch.artworks[rng.random(batch.artworks.shape) < 0.5] = 0.0
    batch.shared[0, :4] = [1.0, -1.0, 1e9, -1e9]
    batch.shared[1, :4] = [np.nan, np.inf, 0.00004, -0.00006]
    batch.artworks[2] = 0.0
    return logged_of(batch, UniformPolicy().pmf(batch), rng)


def plain_text(logged: LoggedBatch, known: set[int] | None, *, labels: bool) -> str:
    """The same text, written one feature at a time; with labels, only the chosen candidates have features."""
    batch, out = as_sent(logged.batch), []

    def features(values: np.ndarray, namespaces: tuple) -> str:
        text = ""
        for space in namespaces:
            text += f" |{space.letter}"
            for place, column in enumerate(space.columns):
                value = round(float(values[column]), 4)
                text += (
                    "" if value == 0 else f" {place}" if value == 1 else f" {place}:{value:.4f}".rstrip("0").rstrip(".")
                )
        return text

    for row in range(len(batch)):
        out.append("shared" + features(batch.shared[row], SHARED_NAMESPACES))
        for place in range(batch.offsets[row], batch.offsets[row + 1]):
            if labels and logged.chosen[row] != place:
                out.append("|")
                continue
            label = f"0:{int(0 - logged.reward[row])}:{logged.propensity[row]:.7g}" if labels else ""
            key = int(batch.artwork_keys[place])
            told = f" |I {key % 2**31}" if known is None or key in known else ""
            out.append(label + features(batch.artworks[place], ARTWORK_NAMESPACES) + told)
        out.append("")
    return "\n".join(out) + "\n"


def test_text_is_what_one_would_write_by_hand(logged: LoggedBatch) -> None:
    assert text_of(logged.batch, logged).decode() == plain_text(logged, known=None, labels=True)
    assert text_of(logged.batch).decode() == plain_text(logged, known=None, labels=False)
    known = np.sort(logged.batch.artwork_keys[::3])
    assert text_of(logged.batch, known=known).decode() == plain_text(logged, set(known.tolist()), labels=False)


def test_text_holds_no_character_that_could_mean_something_else(logged: LoggedBatch) -> None:
    for text in (text_of(logged.batch, logged), text_of(logged.batch)):
        assert set(text.decode()) <= set("0123456789.:-|e \nsharedUPTFCSNI")


def test_what_was_written_is_counted_over_batches(logged: LoggedBatch) -> None:
    tally = Tally(Written.nothing())
    for n_decisions in (5, 10, 15):
        tally.add(logged)
        assert tally.n_decisions == n_decisions
    keys, counts = np.unique(logged.batch.artwork_keys[logged.chosen], return_counts=True)
    np.testing.assert_array_equal(tally.written.artworks, keys)
    np.testing.assert_array_equal(tally.written.n_shown, 3 * counts)
    assert tally.written.n_decisions == 15


def drive(text: str, n_decisions: int, workdir: Path, *arguments: str) -> None:
    with Driver([*arguments, "-f", "model"], workdir) as driver:
        driver.write(text.encode())
        driver.finish(n_decisions)


def test_small_propensities_mean_to_vw_what_they_are(tmp_path: Path) -> None:
    def learned(propensity: str) -> np.ndarray:
        text = f"shared |U 1\n0:-1:{propensity} |S 1\n |S 2\n\n"
        drive(text, 1, tmp_path, "--cb_explore_adf", "--cb_type", "mtr")
        return Workspace(["-t"], model_data=(tmp_path / "model").read_bytes()).weights()[:, 0, 0].copy()

    np.testing.assert_array_equal(learned(f"{1.25e-06:.7g}"), learned("0.00000125"))


@pytest.mark.parametrize(("name", "value"), [("reward", 1e30), ("reward", -2e6), ("propensity", 1e-12)])
def test_values_that_ruin_a_model_silently_are_refused_by_decision(
    logged: LoggedBatch, name: str, value: float, tmp_path: Path
) -> None:
    values = getattr(logged, name).copy()
    values[3] = value
    with pytest.raises(ContractError, match="decision-3"):
        fit_vw([replace(logged, **{name: values})], (), RULE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_same_decisions_give_the_same_model(tmp_path: Path) -> None:
    one, two = (
        fit(candidate("vw-softmax"), lambda: World(seed=5).log(2_000), tmp_path / place) for place in ("one", "two")
    )
    assert one.files["model.vw"].read_bytes() == two.files["model.vw"].read_bytes()
    for name, array in one.policy.arrays().items():
        np.testing.assert_array_equal(array, two.policy.arrays()[name])
    assert one.diagnostics == two.diagnostics


def test_how_the_log_is_cut_into_batches_does_not_matter(tmp_path: Path) -> None:
    logged = next(World(seed=5).log(6_000, n_batches=1))

    def parts() -> Iterator[LoggedBatch]:
        for first in range(0, 6_000, 700):
            yield logged.take(np.arange(first, min(first + 700, 6_000)))

    whole = fit_vw([logged], (), RULE, tmp_path / "whole")
    cut = fit_vw(parts(), (), RULE, tmp_path / "cut")
    assert whole.files["model.vw"].read_bytes() == cut.files["model.vw"].read_bytes()


def test_only_the_model_and_what_it_learned_stay_and_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    fitted = fit(candidate("vw-epsilon"), lambda: World(seed=5).log(2_000), tmp_path, told.append)
    assert (
        sorted(tmp_path.iterdir()) == sorted(fitted.files.values()) == [tmp_path / "learned.npz", tmp_path / "model.vw"]
    )
    assert told == [500, 1_000, 1_500, 2_000]
    assert fitted.diagnostics["n_decisions"] == 2_000


@pytest.mark.parametrize("name", VW_NAMES)
def test_vw_itself_would_explore_as_the_policy_does(fitted: Fitted, name: str) -> None:
    """Without the floor, which VW does not know; SquareCB turns float32 scores 900 times steeper.

    To VW's bag scores within a thousandth of one another are tied; decisions with such a pair on top are left out.
    """
    found = fitted(name)
    batch, _ = World(seed=1).decisions(200, part=9)
    expected = under(found.policy, replace(found.policy.exploration, floor=0.0, launch=None)).pmf(as_sent(batch))
    n_compared = 0
    for own, chances in vw_chances(found, batch):
        if has_clear_best(found, batch, own):
            np.testing.assert_allclose(chances, expected[own], atol=2e-4)
            n_compared += 1
    assert n_compared > 150


def has_clear_best(found: FittedPolicy, batch: Batch, own: slice) -> bool:
    scores = np.sort(np.atleast_2d(found.policy.scores(as_sent(batch)))[:, own], axis=1)
    return bool((scores[:, -1] - scores[:, -2] > 1e-3 * np.abs(scores).max(axis=1)).all())


def vw_chances(found: FittedPolicy, batch: Batch, *arguments: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Ask VW for its own probabilities, where it knows all of a decision's artworks."""
    workspace = Workspace(["-t", *arguments], model_data=found.files["model.vw"].read_bytes())
    parser = TextFormatParser(workspace)
    known = found.policy.bias_keys
    for row, lines in enumerate(text_of(batch, known=known).decode().split("\n\n")[: len(batch)]):
        own = slice(*batch.offsets[row : row + 2])
        if np.isin(batch.artwork_keys[own], known).all():
            chances = dict(workspace.predict_one([parser.parse_line(line) for line in lines.split("\n")]))
            yield own, np.array([chances[place] for place in range(len(chances))])


def test_vw_bag_with_epsilon_projects_our_votes_on_its_minimum(fitted: Fitted) -> None:
    """VW takes the same from each that has more than ε/K, until none has less; our floor mixes."""
    found = fitted("vw-bag")
    batch, _ = World(seed=1).decisions(200, part=9)
    votes = under(found.policy, Exploration(ExplorationKind.GREEDY)).pmf(as_sent(batch))
    for own, chances in vw_chances(found, batch, "--epsilon", "0.3"):
        if not has_clear_best(found, batch, own):
            continue
        least = 0.3 / len(chances)
        taken = brentq(lambda tau, own=own, least=least: np.maximum(votes[own] - tau, least).sum() - 1.0, 0.0, 1.0)
        np.testing.assert_allclose(chances, np.maximum(votes[own] - taken, least), atol=2e-4)


@pytest.mark.parametrize("n_members", [2, 5, 8])
def test_every_member_of_a_bag_is_read_from_its_own_place(n_members: int, tmp_path: Path) -> None:
    """Five members lie at a stride of eight."""
    fitted = fit_vw(World(seed=5).log(2_000), ("--bag", str(n_members), "--random_seed", "1"), RULE, tmp_path)
    assert isinstance(fitted.policy, EnsemblePolicy)
    assert len({member.cross.tobytes() for member in fitted.policy.members}) == n_members
    batch, _ = World(seed=5).decisions(30, part=9)
    assert fitted.parity is not None
    assert fitted.parity(batch) <= 1e-5


def test_a_propensity_weighs_nothing_to_any_member_of_a_bag(tmp_path: Path) -> None:
    """`--clip_p 1`: what is learned is a regression without importance weights."""
    logged = next(World(seed=5).log(2_000, n_batches=1))
    rng = np.random.default_rng(1)
    propensity = rng.choice([0.001, 0.02, 0.5], size=2_000)

    def learned(chances: np.ndarray, name: str) -> EnsemblePolicy:
        changed = replace(logged, propensity=chances)
        policy = fit_vw([changed], ("--bag", "4", "--random_seed", "1"), RULE, tmp_path / name).policy
        assert isinstance(policy, EnsemblePolicy)
        return policy

    wild, even = learned(propensity, "wild"), learned(np.full(2_000, 0.5), "even")
    for ours, same in zip(wild.members, even.members, strict=True):
        np.testing.assert_array_equal(ours.cross, same.cross)


SINGLE = [name for name in VW_NAMES if name != "vw-bag"]


def learned_cross(name: str, logged: LoggedBatch, workdir: Path) -> np.ndarray:
    policy = fit_vw([logged], candidate(name).arguments, RULE, workdir / name).policy
    assert isinstance(policy, LinearPolicy)
    return policy.cross


def test_how_a_candidate_explores_does_not_change_what_vw_learns(tmp_path: Path) -> None:
    """Whatever the propensities, bit for bit: without importance weights there is nothing that they could do."""
    logged = next(World(seed=5).log(2_000, n_batches=1))
    uneven = replace(logged, propensity=np.random.default_rng(1).choice([0.001, 0.02, 0.5], size=2_000))
    first, *others = (learned_cross(name, uneven, tmp_path) for name in SINGLE)
    assert len(others) == 2
    assert first.any()
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_with_importance_weights_vws_squarecb_would_learn_otherwise_for_it_forgets_propensities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it learns from a log, it takes most of them for 1: whoever gives `--clip_p` back must do without it."""
    monkeypatch.setattr(vw, "_BASE", (*vw._BASE[:-2], "--clip_p", "0"))
    logged = next(World(seed=5).log(2_000, n_batches=1))
    plain, squared = (learned_cross(name, logged, tmp_path) for name in ("vw-epsilon", "vw-squarecb"))
    assert np.abs(plain - squared).max() > 1e-3


def test_squarecb_explores_less_the_more_was_learned(fitted: Fitted) -> None:
    assert fitted("vw-squarecb").policy.exploration.parameter == pytest.approx(10 * np.sqrt(8_000))


@pytest.mark.parametrize("part", ["shared_weights", "cross", "artwork_weights", "bias", "constant"])
def test_parity_finds_any_part_that_was_compiled_wrongly(fitted: Fitted, part: str) -> None:
    found = fitted("vw-epsilon")
    batch, _ = World(seed=1).decisions(20, part=9)
    batch.shared[:], batch.artworks[:] = 0.5, 0.5
    right = getattr(found.policy, part)
    wrong = right + 0.01 if isinstance(right, float) else right + np.float32(0.01)
    with pytest.raises(LearnerError, match="candidate row"):
        check_parity(found.files["model.vw"], replace(found.policy, **{part: wrong}), batch)


def test_unknown_artworks_get_what_an_average_impression_got(fitted: Fitted) -> None:
    policy = fitted("vw-epsilon").policy
    assert policy.bias.min() < policy.unknown_bias < policy.bias.max()
    assert policy.unknown_bias == pytest.approx(float(policy.bias.mean()), abs=0.02)


def test_weights_that_are_not_finite_are_never_compiled(fitted: Fitted, tmp_path: Path) -> None:
    workspace = Workspace([], model_data=fitted("vw-epsilon").files["model.vw"].read_bytes())
    row = int(np.argmax(workspace.weights()[:, 0, 0] != 0))
    workspace.weights()[row, 0, 0] = np.nan
    (tmp_path / "nan.vw").write_bytes(workspace.serialize())
    with pytest.raises(DivergedModelError, match="not finite"):
        compile_policy(tmp_path / "nan.vw", Written(1, np.zeros(1, dtype=np.uint64), np.ones(1, dtype=np.int64)), RULE)


def test_a_model_that_keeps_more_weights_than_members_is_refused_before_they_are_read(tmp_path: Path) -> None:
    model, tally = tmp_path / "model", Tally(Written.nothing())
    (logged,) = World(seed=5).log(400, n_batches=1)
    tally.add(logged)
    drive(text_of(logged.batch, logged).decode(), 400, tmp_path, "--cb_explore_adf", "--cb_type", "dr")
    with pytest.raises(LearnerError, match="so many weights a feature"):
        compile_policy(model, tally.written, RULE)


def test_a_learner_that_diverges_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(DivergedModelError):
        fit_vw(World(seed=5).log(400), ("--l2", "1e10"), RULE, tmp_path)


def test_arguments_that_vw_refuses_are_reported_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="no_such_option"):
        fit_vw(World(seed=5).log(400), ("--no_such_option",), RULE, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["shared |U 1\n0:abc:0.5 |S 1\n\n", "shared |U 1\n0:-1:0.5:7 |S 1\n\n"])
def test_text_that_vw_cannot_read_stops_the_training(tmp_path: Path, text: str) -> None:
    with pytest.raises(LearnerError):
        drive(text, 1, tmp_path, "--cb_explore_adf")


def test_decisions_that_vw_did_not_learn_are_missed(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="all of 2 decisions"):
        drive("shared |U 1\n0:-1:0.5 |S 1\n |S 2\n\n", 2, tmp_path, "--cb_explore_adf")


def test_a_driver_that_ends_at_once_is_reported_however_much_is_still_to_write(tmp_path: Path) -> None:
    text = "shared |U 1\n0:-1:0.5 |S 1\n |S 2\n\n" * 1_000_000
    with pytest.raises(LearnerError, match="no_such_option"):
        drive(text, 1_000_000, tmp_path, "--no_such_option")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batches", [[], [next(World(seed=1).log(8)).take(np.zeros(0, dtype=np.int64))]])
def test_nothing_to_learn_from_is_said(batches: list[LoggedBatch], tmp_path: Path) -> None:
    with pytest.raises(NotReadyError):
        fit_vw(batches, (), RULE, tmp_path)
    assert not list(tmp_path.iterdir())
