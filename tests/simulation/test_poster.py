"""Pictures are valid XML whatever names hold, and the same artwork always looks the same."""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import Artwork, Title
from models.layout import GENRES
from simulation.poster import poster_svg
from simulation.poster_art import BACKDROPS, GLYPHS, LOOKS, look_of
from simulation.shelf import MOTIFS
from simulation.world import DEMO_SPEC, World

SVG = "{http://www.w3.org/2000/svg}"
AT = datetime(2026, 11, 1, tzinfo=UTC)


def drawn(name: str, *, artwork_id: str = "a", motif: str = "heart", style: str = "romance") -> str:
    return poster_svg(Artwork(artwork_id, "t", AT, {style: 1.0}, motif), Title("t", AT, name=name))


def lines_of(picture: ElementTree.Element) -> list[str]:
    (group,) = (part for part in picture.iter(f"{SVG}g") if part.attrib.get("class") == "name")
    return [text.text or "" for text in group]


def test_every_artwork_of_the_demo_is_a_valid_picture_with_its_titles_name() -> None:
    catalogue = World(DEMO_SPEC).catalogue()
    for artwork in catalogue.artworks.values():
        title = catalogue.titles[artwork.title_id]
        picture = ElementTree.fromstring(poster_svg(artwork, title))
        assert " ".join(lines_of(picture)) == title.name


@given(st.text(max_size=80), st.text(max_size=20), st.text(max_size=20))
def test_no_name_motif_or_style_breaks_the_document(name: str, motif: str, style: str) -> None:
    ElementTree.fromstring(drawn(name, motif=motif, style=style))


def test_markup_in_a_name_is_shown_and_never_run() -> None:
    picture = drawn("<script>&")
    assert "<script" not in picture
    assert "&lt;script&gt;&amp;" in picture


def test_the_same_artwork_looks_the_same_and_another_one_differs() -> None:
    assert drawn("The Letter") == drawn("The Letter")
    assert drawn("The Letter") != drawn("The Letter", artwork_id="b")


@pytest.mark.parametrize("motif", [*MOTIFS.values(), "portrait"])
def test_every_motif_has_a_shape_of_its_own(motif: str) -> None:
    others = {drawn("x", motif=other).replace(other, "") for other in MOTIFS.values() if other != motif}
    assert drawn("x", motif=motif).replace(motif, "") not in others


def test_a_long_name_is_broken_and_cut() -> None:
    picture = ElementTree.fromstring(drawn("An unreasonably long name of a film about " + "antidisestablishment" * 3))
    lines = lines_of(picture)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 19


@pytest.mark.parametrize("genre", GENRES)
def test_every_genre_has_a_look_and_a_motif_of_its_own(genre: str) -> None:
    assert look_of(genre, 0) == LOOKS[genre]
    assert [other for other in GENRES if LOOKS[other] == LOOKS[genre]] == [genre]
    assert MOTIFS[genre] in GLYPHS
    assert LOOKS[genre].backdrop in BACKDROPS


def test_an_actor_has_one_face_and_a_name_on_every_poster() -> None:
    pictures = [drawn("x", artwork_id=name, motif="portrait", style="ines varga") for name in "ab"]
    others = drawn("x", artwork_id="a", motif="portrait", style="kenji mori")
    faces = [picture[picture.index("<ellipse rx") :].split("</g>")[0] for picture in (*pictures, others)]
    assert faces[0] == faces[1] != faces[2]
    assert all(">Ines Varga<" in picture for picture in pictures)
    assert ">Kenji Mori<" in others


def test_posters_in_one_page_do_not_share_ids_unless_they_are_the_same() -> None:
    ids = [set(re.findall(r' id="(\w+)"', drawn("x", artwork_id=name))) for name in "ab"]
    assert all(ids)
    assert not ids[0] & ids[1]


def test_a_poster_loads_nothing() -> None:
    for motif in (*GLYPHS, "portrait"):
        assert "href" not in drawn("x", motif=motif)
        assert drawn("x", motif=motif).count("url(") == drawn("x", motif=motif).count("url(#") > 0
