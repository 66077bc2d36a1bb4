"""What posters are made of: palettes, backdrops, motifs and faces, as pieces of SVG.

Backdrops fill a 240 × 360 page; motifs lie around the origin, about 130 wide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Palette:
    """CSS colours: the sky's upper and lower end, shapes in front of it, light that stands out, and the lettering."""

    top: str
    bottom: str
    shape: str
    light: str
    letters: str = "#fff"


@dataclass(frozen=True, slots=True)
class Look:
    """How a genre's posters look: a hue of two, a backdrop, and the lettering's CSS font."""

    hue: int
    second: int
    backdrop: str
    font: str


_HEAVY = "900 {size}px 'Arial Black',Impact,'DejaVu Sans',sans-serif"
_SERIF = "700 {size}px Georgia,'DejaVu Serif',serif"
_ITALIC = "italic 700 {size}px Georgia,'DejaVu Serif',serif"
_ROUND = "800 {size}px 'Trebuchet MS','Avenir Next','DejaVu Sans',sans-serif"
_MONO = "700 {size}px 'Courier New','DejaVu Sans Mono',monospace"

LOOKS: Final = {
    "action": Look(8, 36, "rays", _HEAVY),
    "adventure": Look(150, 44, "hills", _ROUND),
    "animation": Look(186, 52, "bubbles", _ROUND),
    "comedy": Look(42, 24, "rays", _ROUND),
    "crime": Look(226, 214, "skyline", _MONO),
    "documentary": Look(196, 40, "film", _MONO),
    "drama": Look(282, 330, "curtain", _SERIF),
    "family": Look(96, 58, "hills", _ROUND),
    "fantasy": Look(264, 300, "stars", _ITALIC),
    "history": Look(28, 40, "arches", _SERIF),
    "horror": Look(352, 0, "moon", _HEAVY),
    "music": Look(312, 262, "bars", _HEAVY),
    "mystery": Look(246, 196, "beam", _SERIF),
    "romance": Look(338, 18, "sunset", _ITALIC),
    "sci-fi": Look(204, 176, "planets", _MONO),
    "thriller": Look(214, 4, "slashes", _HEAVY),
}
_DARK = {"crime", "horror", "mystery", "sci-fi", "thriller", "fantasy"}


def look_of(style: str, key: int) -> Look:
    """Find the look of a genre; every other style has hues of its own, made of `key`."""
    return LOOKS.get(style, Look(key % 360, (key // 360) % 360, "halo", _SERIF))


def palette_of(style: str, look: Look, shade: int) -> Palette:
    """Mix the colours of a look; `shade`, 0–2, sets several artworks of one style apart."""
    hue, second = look.hue + (0, -12, 14)[shade], look.second + (0, 16, -14)[shade]
    if style in _DARK:
        return Palette(
            top=f"hsl({hue},55%,{9 + 3 * shade}%)",
            bottom=f"hsl({second},58%,{30 + 4 * shade}%)",
            shape=f"hsl({hue},60%,{18 + 3 * shade}%)",
            light=f"hsl({second},78%,78%)",
        )
    return Palette(
        top=f"hsl({second},82%,{64 - 5 * shade}%)",
        bottom=f"hsl({hue},74%,{44 - 4 * shade}%)",
        shape=f"hsl({hue},70%,{36 - 3 * shade}%)",
        light=f"hsl({second},96%,93%)",
    )


def _rays(colours: Palette) -> str:
    wedge = "".join(f'<path d="M0 0-26-420H26Z" transform="rotate({angle})"/>' for angle in range(0, 360, 24))
    return f'<g transform="translate(120 150)" fill="{colours.light}" fill-opacity=".26">{wedge}</g>'


def _hills(colours: Palette) -> str:
    return (
        f'<circle cx="176" cy="88" r="44" fill="{colours.light}" fill-opacity=".85"/>'
        f'<path d="M0 236Q60 160 128 226T240 196V360H0Z" fill="{colours.shape}" fill-opacity=".55"/>'
        f'<path d="M0 268Q80 214 150 262T240 250V360H0Z" fill="{colours.shape}"/>'
    )


def _bubbles(colours: Palette) -> str:
    spots = ((40, 60, 30), (196, 40, 22), (214, 150, 40), (24, 190, 26), (190, 250, 30), (80, 260, 18), (110, 34, 14))
    circles = "".join(f'<circle cx="{x}" cy="{y}" r="{r}"/>' for x, y, r in spots)
    return f'<g fill="{colours.light}" fill-opacity=".4">{circles}</g>'


def _skyline(colours: Palette) -> str:
    roofs = "M0 250V190H34V150H62V206H84V120H116V196H140V164H168V210H186V136H214V184H240V360H0Z"
    windows = "".join(
        f'<rect x="{x}" y="{y}" width="6" height="9"/>'
        for x, y in ((42, 164), (42, 184), (94, 136), (94, 160), (104, 180), (196, 150), (196, 172), (150, 182))
    )
    return (
        f'<circle cx="62" cy="74" r="34" fill="{colours.light}" fill-opacity=".7"/>'
        f'<path d="{roofs}" fill="#05070f" fill-opacity=".75"/><g fill="hsl(46,90%,66%)">{windows}</g>'
    )


def _film(colours: Palette) -> str:
    holes = "".join(
        f'<rect x="{x}" y="{y}" width="14" height="18" rx="3"/>' for y in range(10, 360, 34) for x in (7, 219)
    )
    return (
        f'<path d="M0 0H28V360H0ZM212 0H240V360H212Z" fill="#111" fill-opacity=".8"/>'
        f'<g fill="{colours.light}" fill-opacity=".85">{holes}</g>'
    )


def _curtain(colours: Palette) -> str:
    folds = "".join(f'<path d="M{x} 0h14v360h-14Z"/>' for x in range(2, 240, 30))
    left = '<path d="M0 0H92Q84 180 20 330L0 360Z"/>'
    both = f'{left}<g transform="matrix(-1 0 0 1 240 0)">{left}</g>'
    return (
        f'<g fill="{colours.shape}">{both}</g><g fill="#000" fill-opacity=".12">{folds}</g>'
        f'<ellipse cx="120" cy="268" rx="104" ry="20" fill="{colours.light}" fill-opacity=".5"/>'
    )


def _stars(colours: Palette) -> str:
    spots = (
        (30, 40),
        (70, 90),
        (200, 60),
        (160, 28),
        (214, 140),
        (28, 160),
        (52, 230),
        (196, 224),
        (110, 56),
        (226, 30),
    )
    points = "".join(f'<circle cx="{x}" cy="{y}" r="{1.4 + (x + y) % 3}"/>' for x, y in spots)
    crescent = '<path d="M196 52a46 46 0 1 0 12 66a38 38 0 0 1-12-66Z"/>'
    return f'<g fill="{colours.light}">{points}<g fill-opacity=".6">{crescent}</g></g>'


def _arches(colours: Palette) -> str:
    arch = '<path d="M0 360V150a34 34 0 0 1 68 0V360Z"/>'
    row = "".join(f'<g transform="translate({x} 0)">{arch}</g>' for x in (6, 86, 166))
    return (
        f'<g fill="{colours.shape}" fill-opacity=".6">{row}</g>'
        f'<path d="M0 96H240V84H0Z" fill="{colours.light}" fill-opacity=".5"/>'
    )


def _moon(colours: Palette) -> str:
    trees = "M0 360V210L12 250 22 180 36 262 50 226 58 360ZM240 360V200L226 256 212 190 200 264 188 238 178 360Z"
    return (
        f'<circle cx="120" cy="140" r="98" fill="{colours.light}" fill-opacity=".24"/>'
        f'<circle cx="120" cy="140" r="76" fill="{colours.light}" fill-opacity=".34"/>'
        f'<path d="{trees}" fill="#050203" fill-opacity=".85"/>'
    )


def _bars(colours: Palette) -> str:
    heights = (60, 110, 84, 150, 190, 132, 96, 168, 120, 70)
    bars = "".join(
        f'<rect x="{6 + 23 * place}" y="{262 - height}" width="16" height="{height}" rx="4"/>'
        for place, height in enumerate(heights)
    )
    return f'<g fill="{colours.light}" fill-opacity=".3">{bars}</g>'


def _beam(colours: Palette) -> str:
    return (
        f'<path d="M186-10 10 300H214Z" fill="{colours.light}" fill-opacity=".2"/>'
        f'<path d="M186-10 52 300H172Z" fill="{colours.light}" fill-opacity=".22"/>'
        f'<ellipse cx="112" cy="292" rx="100" ry="20" fill="{colours.light}" fill-opacity=".3"/>'
    )


def _sunset(colours: Palette) -> str:
    ripples = "".join(
        f'<path d="M{120 - width} {y}h{2 * width}v5h-{2 * width}Z"/>'
        for y, width in ((232, 92), (246, 76), (260, 84), (274, 54))
    )
    return (
        f'<path d="M24 222a96 96 0 0 1 192 0Z" fill="{colours.light}" fill-opacity=".8"/>'
        f'<path d="M0 222H240V360H0Z" fill="{colours.shape}" fill-opacity=".7"/>'
        f'<g fill="{colours.light}" fill-opacity=".6">{ripples}</g>'
    )


def _planets(colours: Palette) -> str:
    spots = ((20, 30), (60, 120), (216, 36), (224, 190), (30, 250), (130, 20), (180, 246), (90, 60), (12, 90))
    points = "".join(f'<circle cx="{x}" cy="{y}" r="1.8"/>' for x, y in spots)
    return (
        f'<g fill="{colours.light}">{points}</g><circle cx="48" cy="252" r="78" fill="{colours.shape}"/>'
        f'<circle cx="186" cy="86" r="30" fill="{colours.light}" fill-opacity=".55"/>'
        f'<ellipse cx="186" cy="86" rx="54" ry="11" fill="none" stroke="{colours.light}" stroke-width="4" '
        'transform="rotate(-18 186 86)"/>'
    )


def _slashes(colours: Palette) -> str:
    widths = ((90, 10), (150, 34), (236, 16), (300, 44))
    cuts = "".join(f'<path d="M{x} -10h{w}L{x - 190 + w} 370h-{w}Z"/>' for x, w in widths)
    return f'<g fill="{colours.light}" fill-opacity=".2">{cuts}</g>'


def _halo(colours: Palette) -> str:
    rings = "".join(f'<circle cx="120" cy="138" r="{r}"/>' for r in (132, 106, 80))
    return f'<g fill="{colours.light}" fill-opacity=".2">{rings}</g>'


BACKDROPS: Final[dict[str, Callable[[Palette], str]]] = {
    "rays": _rays, "hills": _hills, "bubbles": _bubbles, "skyline": _skyline, "film": _film, "curtain": _curtain,
    "stars": _stars, "arches": _arches, "moon": _moon, "bars": _bars, "beam": _beam, "sunset": _sunset,
    "planets": _planets, "slashes": _slashes, "halo": _halo,
}  # fmt: skip

GLYPHS: Final = {
    "explosion": '<path d="M0-60 14-20 56-38 28-4 62 22 20 20 8 62-10 22-54 36-24 2-60-26-16-20Z"/>',
    "mountain": '<path d="M-66 46-16-54 10-4 24-28 66 46Z"/>'
    '<path d="M-32-22-16-54 0-22-10-14-16-24-24-12Z" fill="#fff"/>',
    "balloon": '<path d="M0-64a46 50 0 0 1 46 50c0 32-30 48-46 56-16-8-46-24-46-56a46 50 0 0 1 46-50Z"/>'
    '<path d="M0-64c-22 14-22 90 0 106 22-16 22-92 0-106Z" fill="#fff" fill-opacity=".4"/>'
    '<path d="M-11 50h22v16h-22Z"/>',
    "smile": '<circle r="62"/><g fill="#3a2500"><path d="M-38 6a38 38 0 0 0 76 0Z"/><circle cx="-22" cy="-20" r="9"/>'
    '<circle cx="22" cy="-20" r="9"/></g><path d="M-26 30q26-14 52 0q-26 22-52 0Z" fill="#e2574c"/>',
    "fingerprint": '<path d="M-6 60V-6a6 6 0 0 1 12 0v66ZM-30 52V-8a30 30 0 0 1 60 0v60H18V-8a18 18 0 0 0-36 0v60Z'
    'M-54 40V-10a54 54 0 0 1 108 0v50H42V-10a42 42 0 0 0-84 0v50Z"/>',
    "camera": '<path d="M-62-30h28l10-16h48l10 16h28v76H-62Z"/><circle r="25" cy="7" fill="#1c2b33"/>'
    '<circle r="13" cy="7" fill="#7fb6c9"/>',
    "mask": '<path d="M-52-50c34 12 70 12 104 0 6 64-16 100-52 112-36-12-58-48-52-112Z"/>'
    '<path d="M-32-14q11-12 24 0q-12 10-24 0ZM8-14q12-12 24 0q-12 10-24 0ZM-24 34q24-24 48 0q-24-10-48 0Z" '
    'fill="#22121f"/>',
    "house": '<path d="M0-60 64 2H48v56H-48V2h-16Z"/><path d="M-12 58V22h24v36Z" fill="#5b3a1e"/>'
    '<path d="M-36 8h16v16h-16ZM20 8h16v16H20Z" fill="#fff3b0"/>',
    "crown": '<path d="M-58 42-64-30-30 4 0-56 30 4 64-30 58 42Z"/><g fill="#d1495b"><circle cx="-30" cy="24" r="7"/>'
    '<circle cy="24" r="9"/><circle cx="30" cy="24" r="7"/></g>',
    "column": '<path d="M-52-60h104v16h-104ZM-40-38h18v80h-18ZM-9-38H9v80H-9ZM22-38h18v80H22ZM-56 48h112v14H-56Z"/>',
    "eye": '<path d="M-68 0Q0-72 68 0 0 72-68 0Z"/><circle r="26" fill="#7a0c12"/>'
    '<path d="M0-22q10 22 0 44q-10-22 0-44Z"/>',
    "note": '<path d="M-16-56 48-68V26h-12V-38l-40 8v66h-12Z"/><circle cx="-18" cy="40" r="20"/>'
    '<circle cx="32" cy="28" r="18"/>',
    "key": '<g transform="rotate(-32)">'
    '<path fill-rule="evenodd" d="M-40-28a28 28 0 1 1 0 56 28 28 0 0 1 0-56Zm0 16a12 12 0 '
    '1 0 0 24 12 12 0 0 0 0-24Z"/><path d="M-14-7h80V24H50V8H38v12H26V8h-40Z"/></g>',
    "heart": '<path d="M0 58C-94 0-58-60-22-56-8-54 0-42 0-32c0-10 8-22 22-24C58-60 94 0 0 58Z"/>',
    "rocket": '<g transform="rotate(24)">'
    '<path d="M0-72c24 24 28 58 22 94l22 26-28-6H-16l-28 6 22-26C-28-14-24-48 0-72Z"/>'
    '<circle cy="-18" r="11" fill="#14324a"/><path d="M-12 46H12L0 78Z" fill="#ff9f43"/></g>',
    "bolt": '<path d="M14-72-46 12h36L-18 72 46-18H10Z"/>',
}  # fmt: skip
PLAIN_GLYPH: Final = '<path d="M0-58 58 0 0 58-58 0Z"/>'

_SKINS = ("#f2cfb2", "#e0ac86", "#c68a5f", "#9a6440", "#6f452b")
_HAIRS = ("#1d1512", "#3d2618", "#7a4a21", "#c79a4b", "#8b8b90", "#8f2f1f")
_HAIR = (
    '<path d="M-46-4C-58-74 58-74 46-4 40-26 22-38-4-38-26-38-42-26-46-4Z"/>',
    '<path d="M-50 44C-72-84 72-84 50 44L36 40C44-6 34-34 0-36-34-34-44-6-36 40Z"/>',
    '<circle cy="-34" r="44"/><circle cx="-36" cy="-14" r="20"/><circle cx="36" cy="-14" r="20"/>',
    '<path d="M-46-2C-52-64-6-78 26-64 50-54 52-26 46-2 40-30 12-34-16-30-34-28-42-18-46-2Z"/>',
    '<circle cy="-64" r="18"/><path d="M-46-6C-54-66 54-66 46-6 36-30-36-30-46-6Z"/>',
)
_LONG_HAIR = {1, 2}
"""Places in `_HAIR` of what lies behind the head."""


def face(key: int, colours: Palette) -> str:
    """Draw a person around the origin; the same `key` is the same person."""
    skin, hair = _SKINS[key % len(_SKINS)], _HAIRS[(key >> 4) % len(_HAIRS)]
    shape = _HAIR[(key >> 8) % len(_HAIR)]
    long_hair = (key >> 8) % len(_HAIR) in _LONG_HAIR
    has_beard = not long_hair and (key >> 12) % 3 == 0
    beard = '<path d="M-38 6C-36 52 36 52 38 6 30 22 16 18 0 18-16 18-30 22-38 6Z"/>' if has_beard else ""
    glasses = (
        '<g fill="none" stroke="#222" stroke-width="3.5"><circle cx="-17" cy="-4" r="12"/>'
        '<circle cx="17" cy="-4" r="12"/>'
        '<path d="M-5-4H5"/></g>'
        if (key >> 16) % 4 == 0
        else ""
    )
    locks = f'<g fill="{hair}">{shape}</g>'
    behind, front = (locks, "") if long_hair else ("", locks)
    return (
        f'{behind}<path d="M-92 150c0-62 40-84 92-84s92 22 92 84Z" fill="{colours.shape}"/>'
        f'<path d="M-20 30h40v44q-20 18-40 0Z" fill="{skin}"/>'
        f'<path d="M-20 46q20 18 40 0v10q-20 14-40 0Z" fill-opacity=".18"/>'
        f'<ellipse rx="42" ry="50" fill="{skin}"/><g fill="{hair}">{beard}</g>'
        '<g fill="#1b1b1f"><circle cx="-17" cy="-4" r="4.5"/><circle cx="17" cy="-4" r="4.5"/></g>'
        '<path d="M-15 25q15 13 30 0q-15 5-30 0Z" fill="#a8423f"/>'
        f"{front}{glasses}"
    )
