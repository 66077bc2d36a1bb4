"""A home of three days, two of them refreshed, that can be set back in place."""

import os
from pathlib import Path
from shutil import copytree, rmtree

from pipelines.settings import Settings
from pipelines.settings import environment_of as variables_of
from tests.dags.log_world import make_home
from tests.pipelines.feature_world import ROOT, day

FIRST_TWO_DAYS, ALL_DAYS = day(1).end_at, day(2).end_at


class Home:
    """A home that can be set back in place: Feast's registry holds absolute paths, so that a copy would not do."""

    def __init__(self, path: Path) -> None:
        self.settings = make_home(path / "home", n_days=3)
        self._saved = path / "saved"

    def save(self) -> None:
        copytree(self.settings.home, self._saved)

    def set_back(self, registry: str = "registry") -> Settings:
        """Set the home back to what was saved, with a registry of its own: MLflow holds on to a file it has opened."""
        rmtree(self.settings.home)
        copytree(self._saved, self.settings.home)
        url = f"sqlite:///{self.settings.home / registry}.db"
        return self.settings.model_copy(update={"registry_url": url})


def environment_of(settings: Settings) -> dict[str, str]:
    """Give another process the settings of a home."""
    return os.environ | variables_of(settings) | {"PYTHONPATH": str(ROOT)}
