"""The scorer as its image has it: the command itself, in a process that finds none of the platform's packages."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.layout import PROFILE
from pipelines.settings import Settings
from serving.feature_store import open_feature_store
from tests.serving.example import logged_pages, settings_in
from tests.serving.scorer_process import ROOT, platform_modules, scorer_process
from tests.serving.test_feast_features import frame

_SERVE_WITHOUT_PLATFORM = """
import json, os, sys
for module in json.loads(os.environ["MISSING_MODULES"]):
    sys.modules[module] = None
from pipelines.cli import main
sys.argv = ["marquee", "serve"]
main()
"""


def test_the_platforms_packages_are_none_of_the_scorers() -> None:
    platform = {
        "airflow",
        "deltalake",
        "duckdb",
        "ibis",
        "mlflow",
        "pandera",
        "plotly",
        "sklearn",
        "vowpal_wabbit_next",
    }
    missing = platform_modules()
    assert missing >= platform
    assert not missing & {"feast", "redis", "numpy", "starlette", "uvicorn", "msgspec", "pydantic_settings", "typer"}


@pytest.mark.timeout(180)
def test_a_scorer_without_the_platforms_packages_serves_pages_with_features(
    applied_settings: Settings, tmp_path: Path
) -> None:
    settings_in(tmp_path)
    shutil.copytree(applied_settings.home / "feast", tmp_path / "feast")
    taste = np.linspace(0, 1, len(PROFILE), dtype=np.float32)
    store = open_feature_store(applied_settings.model_copy(update={"home": tmp_path}))
    store.write_to_online_store(
        "profile_taste", frame("profile_id", {"p-image": {"vector": taste}}, {"p-image": datetime.now(UTC)})
    )
    environment = {
        "MISSING_MODULES": json.dumps(sorted(platform_modules())),
        "MARQUEE_FEATURE_REPO": str(ROOT / "feature_repo"),
        "MARQUEE_FEATURE_BUDGET_MS": "10000",
    }
    with scorer_process(tmp_path, _SERVE_WITHOUT_PLATFORM, **environment) as (_, url):
        assert httpx.get(f"{url}/readyz", trust_env=False).json()["features"] == "ok"
        body = {"profile_id": "p-image", "titles": ["t0", "t1"], "explain": True}
        page = httpx.post(f"{url}/v1/pages", json=body, timeout=20, trust_env=False).json()
    assert [decision["propensity"] for decision in page["decisions"]] == [0.25, 0.25]
    (logged,) = logged_pages(tmp_path / "events")
    assert {each.intent for each in logged.decisions} == {"live"}, (tmp_path / "stderr.log").read_text()
    np.testing.assert_array_equal(np.frombuffer(logged.profile_features, "<f4"), taste)
