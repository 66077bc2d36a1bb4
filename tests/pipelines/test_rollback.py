"""A rollback that scorers follow is done, whatever fails after it, and nobody is led to repeat it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from models.bundle import move_pointer, read_pointer
from models.pointer import Pointer
from models.withdrawal import read_withdrawal
from pipelines.change import changes
from pipelines.cli import app
from pipelines.settings import Settings
from tests.serving.bundle_example import tasteful, write_policy

AT = datetime(2026, 11, 5, tzinfo=UTC)


@pytest.fixture(name="versions")
def published(tmp_path: Path) -> tuple[str, ...]:
    """Three policies that were published one after the other, the newest first."""
    root, versions = Settings(home=tmp_path).policies_url, ()
    for number in range(3):
        manifest = write_policy(root, "", policy=tasteful(number), day=number)
        previous, earlier = (versions[0], versions[1:]) if versions else (None, ())
        at = AT + timedelta(days=number)
        move_pointer(root, Pointer.to(manifest, published_at=at, previous=previous, earlier=earlier))
        versions = (manifest.version, *versions)
    return versions


@pytest.mark.parametrize(
    ("broken", "meanings"),
    [
        ("registry", ["the registry still says that {live} is champion"]),
        ("reports registry", ["there is no record of it", "the registry still says that {live} is champion"]),
    ],
)
def test_what_fails_once_the_pointer_has_moved_is_told_and_is_no_failed_rollback(
    tmp_path: Path, versions: tuple[str, ...], broken: str, meanings: list[str]
) -> None:
    live, before, _ = versions
    for name in broken.split():
        (tmp_path / name).write_text("")  # where a folder is wanted: nobody can write there, root neither
    environment = {"MARQUEE_HOME": str(tmp_path), "MARQUEE_REGISTRY_URL": f"sqlite:///{tmp_path}/registry/registry.db"}

    ran = CliRunner().invoke(app, ["rollback", "--json"], env=environment)

    assert ran.exit_code == 0, "a script that sees a failure tries again, and goes one more policy back"
    settings = Settings(home=tmp_path)
    pointer = read_pointer(settings.policies_url)
    assert pointer is not None
    assert pointer.version == before
    assert [name for name in versions if read_withdrawal(settings.policies_url, name)] == [live]
    not_done = msgspec.json.decode(ran.stdout)["not_done"]
    assert [failure.split(":")[0] for failure in not_done] == [meaning.format(live=live) for meaning in meanings]
    told = f"marquee: {before} is live again and the rollback must not be repeated, but "
    assert ran.stderr.splitlines() == [told + failure for failure in not_done]
    assert len(changes(settings)) == (0 if "reports" in broken else 1)
