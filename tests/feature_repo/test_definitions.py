"""The definitions say who owns what, how long it holds, and agree with what the rest of the house writes and reads."""

from pathlib import Path

import pytest
from feast.types import Array, Float32, Int64

from models.layout import FEATURE_SERVICE
from pipelines.feature_rows import VIEWS
from serving.feature_store import open_feature_store

ROOT = Path(__file__).parents[2]
TYPES = {"list<element: float>": Array(Float32), "list<element: int64>": Array(Int64), "float": Float32, "int64": Int64}


@pytest.fixture(scope="module")
def store(applied_settings):
    return open_feature_store(applied_settings)


def test_the_feature_service_of_the_layout_reads_every_view(store):
    service = store.get_feature_service(FEATURE_SERVICE)
    assert {projection.name for projection in service.feature_view_projections} == set(VIEWS)
    page = store.get_feature_service(f"{FEATURE_SERVICE}_profile")
    assert {projection.name for projection in page.feature_view_projections} == {"profile_taste", "profile_familiarity"}


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_has_a_description_an_owner_a_time_to_live_and_both_timestamps(store, name):
    view = store.get_feature_view(name)
    assert view.description
    assert "@" in view.owner
    assert view.ttl.total_seconds() > 0
    assert view.batch_source.timestamp_field == "event_timestamp"
    assert view.batch_source.created_timestamp_column == "created_timestamp"


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_has_the_columns_that_are_written_for_it(store, name):
    view, schema = store.get_feature_view(name), VIEWS[name]
    assert [entity.name for entity in view.entity_columns] == schema.names[:1]
    written = {field.name: str(field.type).replace("item", "element") for field in list(schema)[1:-2]}
    assert {field.name: field.dtype for field in view.features} == {n: TYPES[t] for n, t in written.items()}


def test_the_scorers_and_the_views_time_to_live_are_one_setting(store, applied_settings):
    for name in ("profile_taste", "profile_familiarity"):
        assert store.get_feature_view(name).ttl.total_seconds() == applied_settings.profile_ttl_hours * 3600


def test_the_repository_is_imported_by_bare_names_only():
    repo = ROOT / "feature_repo"
    assert not (repo / "__init__.py").exists()
    assert (repo / ".feastignore").is_file()
    assert not [path for path in repo.glob("*.py") if "feature_repo" in path.read_text()]
