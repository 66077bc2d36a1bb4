"""The demo keeps to its own folder and goes on with its own plan."""

from pathlib import Path

import msgspec
import pytest

from models.error import ContractError, MarqueeError
from pipelines.demo import Plan, demo_settings, plan_of
from pipelines.settings import Settings
from serving.server import refuse_taken


def test_a_second_demo_goes_on_with_the_days_of_the_first(tmp_path: Path) -> None:
    settings = demo_settings(Settings(home=tmp_path))
    first = plan_of(settings, 7, 100, fresh=False)
    assert plan_of(settings, 7, 100, fresh=False) == first
    assert msgspec.json.decode((tmp_path / "demo" / "demo.json").read_bytes(), type=Plan) == first


def test_other_sizes_are_refused_until_a_clean_start_is_asked_for(tmp_path: Path) -> None:
    settings = demo_settings(Settings(home=tmp_path))
    plan_of(settings, 7, 100, fresh=False)
    (settings.home / "events").mkdir()
    with pytest.raises(ContractError, match="7 days and 100 pages"):
        plan_of(settings, 6, 100, fresh=False)
    assert plan_of(settings, 6, 100, fresh=True).n_days == 6
    assert not (settings.home / "events").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    precious = tmp_path / "demo" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(ContractError, match="something else"):
        plan_of(demo_settings(Settings(home=tmp_path)), 7, 100, fresh=fresh)
    assert precious.read_text() == "mine"


def test_the_demos_days_are_days_and_its_state_is_its_own_whatever_the_environment_says(tmp_path: Path) -> None:
    settings = demo_settings(Settings(home=tmp_path, interval_hours=6, lake_url="s3://other/lake", policy_url="s3://p"))
    assert settings.interval_hours == 24
    assert Path(settings.lake_dir).is_relative_to(tmp_path / "demo")
    assert settings.policies_url.startswith((tmp_path / "demo").as_uri())


def test_a_port_in_use_is_told_before_anything_is_done(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(home=tmp_path, port=taken.getsockname()[1])
        with pytest.raises(MarqueeError, match="MARQUEE_PORT"):
            refuse_taken(settings)
