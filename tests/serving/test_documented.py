"""The Python that README and docs print does, as it is printed, what they say of it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.catalogue import Artwork, Catalogue, Title
from models.event import Impression, Play
from serving.catalogue_file import read_catalogue, write_catalogue
from tests.serving.example import logged_events, logged_pages, running, settings_in
from tests.serving.scorer_process import ROOT


def printed(name: str) -> str:
    """Find the one Python example of a document."""
    (found,) = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    return str(found)


def test_readmes_client_asks_for_a_page_and_reports_what_became_of_it(tmp_path: Path) -> None:
    titles = [Title(name, datetime(2026, 1, 1, tzinfo=UTC)) for name in ("t00000", "t00001")]
    artworks = [Artwork(f"{each.title_id}-a", each.title_id, each.launched_at) for each in titles]
    write_catalogue(Catalogue(titles, artworks), tmp_path / "catalogue.parquet")
    settings = settings_in(tmp_path)
    code, address = printed("README.md"), "http://127.0.0.1:8080"
    assert address in code
    with running(settings) as server:
        exec(compile(code.replace(address, server.url), "README.md", "exec"), {})
    (page,) = logged_pages(settings.events_dir)
    (impression,) = [event for event in logged_events(settings.events_dir) if isinstance(event, Impression)]
    (play,) = [event for event in logged_events(settings.events_dir) if isinstance(event, Play)]
    assert (page.profile_id, page.context.device, len(page.decisions)) == ("somebody-new", "tv", 2)
    assert impression.decision_id == page.decisions[0].decision_id
    assert (play.profile_id, play.title_id) == (page.profile_id, page.decisions[0].title_id)


def test_the_catalogue_that_is_printed_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(printed("docs/catalogue.md"), "docs/catalogue.md", "exec"), {})
    found = read_catalogue(tmp_path / ".marquee" / "catalogue.parquet")
    assert {title: [each.artwork_id for each in artworks] for title, artworks in found.artworks_of.items()} == {
        "film-1": ["film-1-smile", "film-1-heart"]
    }
    assert found.default_of("film-1") == "film-1-heart"
