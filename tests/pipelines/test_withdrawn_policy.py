"""Back from a live policy, and what becomes of the one that was withdrawn, with a real registry."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from models.bundle import read_pointer
from models.error import BundleError, MarqueeError, WithdrawnModelError
from models.withdrawal import read_withdrawal
from pipelines.change import Kind, changes
from pipelines.cli import app
from pipelines.promotion import Promoted, promote, promote_by_hand, publish, publish_champion
from pipelines.registry import Registry
from pipelines.rollback import rollback
from pipelines.settings import Settings, environment_of
from tests.pipelines.promotion_world import Rounds, go_live


def test_rolling_back_goes_one_policy_back_each_time_until_uniform_is_drawn(settings: Settings, rounds: Rounds) -> None:
    first = go_live(settings, rounds, 1, "uniform")
    second = go_live(settings, rounds, 1, "best-artwork")
    go_live(settings, rounds, 2, "vw-epsilon")

    for version in (second, first):
        assert rollback(settings).version == version
        live, champion = read_pointer(settings.policies_url), Registry(settings.registry_uri).champion()
        assert live is not None
        assert champion is not None
        assert live.version == champion.bundle_version == version

    assert rollback(settings).is_uniform
    assert Registry(settings.registry_uri).champion() is None
    with pytest.raises(MarqueeError, match=r"every policy .* was withdrawn"):
        rollback(settings)
    third = go_live(settings, rounds, 2, "best-artwork")
    live = read_pointer(settings.policies_url)
    assert live is not None
    assert (live.version, live.before) == (third, ("uniform",))
    assert rollback(settings).is_uniform


def test_what_a_rollback_withdrew_comes_back_by_hand_alone(settings: Settings, rounds: Rounds) -> None:
    before = go_live(settings, rounds, 1, "best-artwork")
    version = go_live(settings, rounds, 2, "vw-epsilon")
    rollback(settings)
    live, champion = read_pointer(settings.policies_url), Registry(settings.registry_uri).champion()

    for step in (promote, publish):
        with pytest.raises(WithdrawnModelError, match=f"{version} was withdrawn by a rollback"):
            step(settings, rounds[2][0], version)
    assert (read_pointer(settings.policies_url), Registry(settings.registry_uri).champion()) == (live, champion)

    promote_by_hand(settings, version)
    assert publish_champion(settings).before == (before,)


def test_whoever_promotes_what_a_rollback_withdrew_is_told_and_so_is_who_reads_the_record(
    settings: Settings, rounds: Rounds
) -> None:
    go_live(settings, rounds, 1, "best-artwork")
    version = go_live(settings, rounds, 2, "vw-epsilon")
    assert changes(settings)[-2].withdrawn_at is None
    rollback(settings)
    withdrawal = read_withdrawal(settings.policies_url, version)
    assert withdrawal is not None
    withdrawn_at = withdrawal.withdrawn_at

    for _ in range(2):  # the second changes nothing, and says no less
        done = CliRunner().invoke(app, ["promote", version, "--json"], env=environment_of(settings))
        assert done.exit_code == 0, done.output
        told = msgspec.json.decode(done.stdout, type=Promoted)
        assert (told.champion, told.withdrawn_at) == (version, withdrawn_at)
        since = withdrawn_at.isoformat(timespec="seconds")
        assert f"marquee: {version} was withdrawn by a rollback at {since}; it is let in again" in done.stderr
        (last,) = (each for each in changes(settings)[-1:] if each.kind is Kind.PROMOTION)
        assert (last.version, last.by_hand, last.withdrawn_at) == (version, True, withdrawn_at)

    other = CliRunner().invoke(app, ["promote", "best-artwork", "--unproven"], env=environment_of(settings))
    assert other.exit_code == 0, other.output
    assert "withdrawn" not in other.output
    assert changes(settings)[-1].withdrawn_at is None


def test_where_nobody_can_tell_whether_a_rollback_withdrew_a_version_the_champion_stays(
    settings: Settings, rounds: Rounds, tmp_path: Path
) -> None:
    champion = go_live(settings, rounds, 1, "uniform")
    version = rounds[2][1]["vw-epsilon"]
    garbled = tmp_path / "policies" / "withdrawn" / f"{version}.json"
    garbled.parent.mkdir(exist_ok=True)
    garbled.write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        promote_by_hand(settings, version, unproven=True)
    found = Registry(settings.registry_uri).champion()
    assert found is not None
    assert found.bundle_version == champion


def test_a_garbled_pointer_is_mended_by_a_rollback(settings: Settings, rounds: Rounds, tmp_path: Path) -> None:
    before = go_live(settings, rounds, 1, "best-artwork")
    go_live(settings, rounds, 2, "best-artwork")
    (tmp_path / "policies" / "live.json").write_text("{")
    assert rollback(settings).version == before


def test_a_rollback_reaches_scorers_even_when_the_registry_is_broken_and_says_so(
    settings: Settings, rounds: Rounds, tmp_path: Path
) -> None:
    first = go_live(settings, rounds, 1, "uniform")
    before = go_live(settings, rounds, 1, "best-artwork")
    withdrawn = go_live(settings, rounds, 2, "best-artwork")
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database" * 1000)
    done = rollback(settings.model_copy(update={"registry_url": f"sqlite:///{broken}"}))
    (told,) = done.not_done
    assert told.startswith(f"the registry still says that {withdrawn} is champion: registry sqlite:")
    live = read_pointer(settings.policies_url)
    assert live is not None
    assert (live.version, live.before) == (before, (first,))
    last = changes(settings)[-1]
    assert (last.kind, last.version, last.replaced) == (Kind.ROLLBACK, before, withdrawn)
    with pytest.raises(WithdrawnModelError):  # the registry still calls it champion
        publish_champion(settings)


def test_a_rollback_steps_over_bundles_that_cannot_be_trusted_and_says_which(
    settings: Settings, rounds: Rounds, tmp_path: Path
) -> None:
    first = go_live(settings, rounds, 1, "uniform")
    second = go_live(settings, rounds, 1, "best-artwork")
    third = go_live(settings, rounds, 2, "best-artwork")
    go_live(settings, rounds, 2, "vw-epsilon")
    bundles = tmp_path / "policies" / "bundles"
    (bundles / third / "manifest.json").unlink()
    flipped = bytearray((bundles / second / "policy.npz").read_bytes())
    flipped[-1] ^= 1
    (bundles / second / "policy.npz").write_bytes(flipped)

    done = rollback(settings)

    assert (done.version, done.before) == (first, ())
    assert list(done.passed_over) == [third, second]
    assert "manifest.json" in done.passed_over[third]
    assert "policy.npz must have SHA-256" in done.passed_over[second]
    assert changes(settings)[-1].passed_over == done.passed_over
    live, champion = read_pointer(settings.policies_url), Registry(settings.registry_uri).champion()
    assert live is not None
    assert champion is not None
    assert live.version == champion.bundle_version == first

    go_live(settings, rounds, 2, "best-artwork")
    (bundles / first / "fallback.npz").unlink()
    done = rollback(settings)
    assert done.is_uniform
    assert list(done.passed_over) == [first]


def test_a_rollback_steps_over_what_may_have_been_withdrawn(settings: Settings, rounds: Rounds, tmp_path: Path) -> None:
    first = go_live(settings, rounds, 1, "uniform")
    second = go_live(settings, rounds, 1, "best-artwork")
    go_live(settings, rounds, 2, "vw-epsilon")
    garbled = tmp_path / "policies" / "withdrawn" / f"{second}.json"
    garbled.parent.mkdir(exist_ok=True)
    garbled.write_text("{")
    done = rollback(settings)
    assert (done.version, list(done.passed_over)) == (first, [second])


def test_there_is_nothing_to_roll_back_before_the_first_policy(settings: Settings) -> None:
    with pytest.raises(MarqueeError, match="nothing was ever published"):
        rollback(settings)
