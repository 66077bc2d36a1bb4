"""A home that several modules run over."""

import pytest

from pipelines.backfill import backfill
from tests.dags.home import FIRST_TWO_DAYS, Home
from tests.pipelines.feature_world import day


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose first two days are refreshed and whose third is not."""
    home = Home(tmp_path_factory.mktemp("two-days"))
    backfill(home.settings, day(0).start_at, FIRST_TWO_DAYS)
    home.save()
    return home
