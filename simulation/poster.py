"""Artworks that draw themselves: a small SVG poster with the title, a palette and the motif that it stresses."""

from typing import Final
from xml.sax.saxutils import escape

from models.catalogue import Artwork, Title
from models.identity import hash64
from simulation.poster_art import BACKDROPS, GLYPHS, PLAIN_GLYPH, Palette, face, look_of, palette_of

WIDTH: Final = 240
HEIGHT: Final = 360
_LETTERS_A_LINE = 13
_MAX_LINES = 3
_LONGEST_WORD = 18
_ROOM = 216.0
_LETTER_WIDTH = 0.66
"""Of a heavy letter, as a share of the font's size."""
_FONT_SIZES = (15, 31)
_PORTRAIT = "portrait"


def poster_svg(artwork: Artwork, title: Title) -> str:
    """Draw an artwork as a 240 × 360 SVG document: the same artwork always looks the same.

    Colours, backdrop and lettering tell the style that it stresses most, the shape its motif, a face the actor; shade,
    angle and place come from its id, so that two artworks of one style can be told apart. Whatever ids and names hold
    is escaped. Ids within the document are the artwork's own: many posters may stand in one page.
    """
    stressed = max(artwork.styles, key=lambda name: (artwork.styles[name], name), default=artwork.motif)
    style, key = stressed.strip().lower(), hash64(artwork.artwork_id)
    look = look_of(style, hash64(style))
    colours = palette_of(style, look, key % 3)
    spoken = f"{title.name}: {artwork.motif or stressed}"
    backdrop = BACKDROPS[look.backdrop](colours)
    if (key >> 8) % 2:
        backdrop = f'<g transform="matrix(-1 0 0 1 {WIDTH} 0)">{backdrop}</g>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img"><title>{_text(spoken)}</title><defs>{_gradients(f"{key:x}", colours)}</defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#s{key:x})"/>{backdrop}'
        f"{_subject(artwork.motif, style, key, colours)}"
        f'<rect y="190" width="{WIDTH}" height="170" fill="url(#d{key:x})"/>'
        f"{_lettering(title.name, stressed if artwork.motif == _PORTRAIT else '', look.font, colours)}</svg>"
    )


def _gradients(key: str, colours: Palette) -> str:
    return (
        f'<linearGradient id="s{key}" x2="0" y2="1"><stop stop-color="{colours.top}"/>'
        f'<stop offset=".8" stop-color="{colours.bottom}"/></linearGradient><linearGradient id="d{key}" x2="0" y2="1">'
        '<stop stop-opacity="0"/><stop offset=".6" stop-opacity=".62"/><stop offset="1" stop-opacity=".8"/>'
        "</linearGradient>"
    )


def _subject(motif: str, style: str, key: int, colours: Palette) -> str:
    """Draw what the poster shows, with a shadow behind it."""
    tilt, shift, lift = (key >> 16) % 17 - 8, (key >> 24) % 29 - 14, (key >> 32) % 17 - 8
    if motif == _PORTRAIT:
        return f'<g transform="translate({120 + shift} 132) scale(1.22)">{face(hash64(style), colours)}</g>'
    glyph = GLYPHS.get(motif, PLAIN_GLYPH)
    size = 1.15 + 0.2 * ((key >> 40) % 3)
    where = f"rotate({tilt}) scale({size:.2f})"
    return (
        f'<g transform="translate({124 + shift} {147 + lift}) {where}" fill="#000" fill-opacity=".28">'
        f"{_plain(glyph)}</g>"
        f'<g transform="translate({120 + shift} {140 + lift}) {where}" fill="{colours.light}">{glyph}</g>'
    )


def _plain(glyph: str) -> str:
    """Take a glyph's own colours away, for its shadow."""
    parts = glyph.split(' fill="#')
    return parts[0] + "".join(part.split('"', 1)[1] for part in parts[1:])


def _lettering(name: str, actor: str, font: str, colours: Palette) -> str:
    lines = _wrap(name)
    widest = max(map(len, lines), default=1)
    size = max(_FONT_SIZES[0], min(_FONT_SIZES[1], int(_ROOM / (_LETTER_WIDTH * widest))))
    first = HEIGHT - 22 - round(1.12 * size * (len(lines) - 1))
    words = "".join(
        f'<text x="120" y="{first + round(1.12 * size * number)}">{_text(line)}</text>'
        for number, line in enumerate(lines)
    )
    above = (
        f'<text x="120" y="{first - size - 8}" style="font:700 15px Georgia,serif;letter-spacing:2px" class="actor" '
        f'fill="{colours.light}" text-anchor="middle">{_text(actor.title())}</text>'
        if actor
        else ""
    )
    return (
        f'{above}<g class="name" fill="{colours.letters}" style="font:{font.format(size=size)}" text-anchor="middle">'
        f"{words}</g>"
    )


def _text(words: str) -> str:
    """Escape text for XML, without the characters that no XML document may hold."""
    return escape("".join(letter for letter in words if letter.isprintable()))


def _wrap(name: str) -> list[str]:
    """Break a name into at most three lines; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + 1 + len(word) <= _LETTERS_A_LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"{lines[_MAX_LINES - 1]}…"]
    return [line if len(line) <= _LONGEST_WORD else f"{line[: _LONGEST_WORD - 1]}…" for line in lines]
