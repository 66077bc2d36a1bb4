"""Fixtures of a home with the feature definitions applied, and of scratch homes beside it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import Settings
from serving.feature_store import apply_feature_repo, feature_store_config, open_feature_store

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def applied_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a home with the feature definitions applied: once for all tests, as it takes seconds.

    `tests/pipelines/conftest.py` fills it with a small world; other tests leave its data alone.
    """
    settings = Settings(
        home=tmp_path_factory.mktemp("applied"),
        feature_repo=ROOT / "feature_repo",
        attribution_window_hours=12.0,
        attribution_grace_hours=0.0,
    )
    assert apply_feature_repo(settings)
    return settings


@pytest.fixture
def scratch_store(applied_settings: Settings, tmp_path: Path) -> Callable[..., tuple[Settings, Any]]:
    """Open a store of a new, empty home with the same definitions, applied in this process.

    It may have another time to live, and other settings.
    """

    def open_scratch(ttl: timedelta | None = None, **changes: object) -> tuple[Settings, Any]:
        from feast import FeatureStore, FileSource, RepoConfig
        from feast.data_format import ParquetFormat

        applied = open_feature_store(applied_settings)
        settings = applied_settings.model_copy(update={"home": tmp_path / "scratch", **changes})
        (settings.home / "feast").mkdir(parents=True)
        config = RepoConfig(**feature_store_config(settings))
        config.repo_path = settings.feature_repo
        store = FeatureStore(config=config)
        views = applied.list_feature_views()
        for view in views:
            view.batch_source = FileSource(
                name=f"{view.name}_source",
                path=f"{settings.features_dir}/{view.name}/*/part.parquet",
                file_format=ParquetFormat(),
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            )
            view.ttl = ttl or view.ttl
        store.apply([*applied.list_entities(), *views, *applied.list_feature_services()])
        (settings.home / "feast" / "applied").touch()
        return settings, store

    return open_scratch
