"""The demo's example as one HTML page that needs nothing else: posters are drawn in it, on a light or a dark screen."""

from html import escape

from pipelines.example import N_LOVERS, Example, Viewer, stressed
from simulation.poster import HEIGHT, WIDTH, poster_svg

_MOST_ROWS = 6

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1c2128;--soft:#59636e;--line:#d9dee4;--mark:#2f7ed8}
@media(prefers-color-scheme:dark){:root{--page:#0f1318;--card:#181e25;--ink:#e6edf3;--soft:#9aa5b1;--line:#2b343e}}
*{box-sizing:border-box}body{margin:0;padding:28px 16px;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}main{max-width:920px;margin:auto}
h1{font-size:26px;line-height:1.25;margin:0 0 6px}h2{font-size:18px;margin:0}p{margin:6px 0}.soft{color:var(--soft)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:18px;margin:22px 0}
article{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:18px}
.shown{display:flex;gap:16px;margin:14px 0 18px}.shown>svg{flex:0 0 54%;width:54%;height:auto;border-radius:10px}
.shown p{margin:0 0 12px}.big{font-size:26px;font-weight:700;line-height:1.1;display:block}
.taste{list-style:none;margin:10px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:6px}
.taste li{border:1px solid var(--line);border-radius:99px;padding:1px 10px;font-size:14px}
.taste li:first-child{border-color:var(--mark);color:var(--mark);font-weight:600}
table{width:100%;border-collapse:collapse;font-size:14px}th{font-weight:500;color:var(--soft);text-align:left;
padding:0 0 4px}td{padding:3px 6px 3px 0;border-top:1px solid var(--line);vertical-align:middle}
td:last-child,th:last-child{text-align:right;padding-right:0}
td svg{width:32px;height:48px;border-radius:4px;display:block}
.bar{display:block;height:8px;border-radius:4px;background:var(--mark);min-width:2px}
tr.on td{font-weight:700}tr.on svg{outline:2px solid var(--mark)}
""".strip()


def example_page(example: Example) -> str:
    """Write the page: each viewer with the artwork shown, and all artworks with probability and true chance."""
    drawings = "".join(
        f'<symbol id="art-{place}" viewBox="0 0 {WIDTH} {HEIGHT}">{poster_svg(artwork, example.title)}</symbol>'
        for place, artwork in enumerate(example.artworks)
    )
    first, second = example.viewers
    heading = (
        f"One title, two viewers: “{escape(example.title.name)}”"
        if example.differs
        else f"“{escape(example.title.name)}”: these two tastes are not told apart yet"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Marquee: {escape(example.title.name)}</title><style>{_STYLE}</style></head><body>"
        f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{drawings}</svg><main>'
        f'<h1>{heading}</h1><p class="soft">What the scorer answers at {example.at:%Y-%m-%d %H:%M} UTC to a profile '
        f"that likes {escape(first.genre)} and to one that likes {escape(second.genre)}, under the live policy "
        f"{escape(example.policy_version)}. Neither policy nor scorer knows the tastes below, the simulator’s own: "
        "they have only seen what was played. Of all pairs asked for, this is the one of which the policy is surest."
        "</p>"
        f'<div class="pair">{_card(example, first)}{_card(example, second)}</div>'
        '<p class="soft">Probability: how likely the live policy shows each artwork to this profile. True chance: of a '
        "quality play once it is seen, known to the simulator alone.</p></main></body></html>\n"
    )


def _card(example: Example, viewer: Viewer) -> str:
    places = {artwork.artwork_id: place for place, artwork in enumerate(example.artworks)}
    tastes = "".join(f"<li>{escape(name)} {weight:.2f}</li>" for name, weight in viewer.taste)
    best = max(viewer.truth, key=lambda name: viewer.truth[name])
    is_best = best == viewer.shown.artwork_id
    verdict = "the best there is for it" if is_best else f"the best would have {viewer.truth[best]:.3f}"
    picture = f"{example.title.name}: {viewer.shown.motif}"
    return (
        f'<article data-artwork="{escape(viewer.shown.artwork_id)}"><h2>Likes {escape(viewer.genre)}</h2>'
        f'<span class="soft">profile {escape(viewer.profile_id)}</span><ul class="taste">{tastes}</ul>'
        f'<div class="shown"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(picture)}">'
        f'<use href="#art-{places[viewer.shown.artwork_id]}"/></svg><div>'
        f'<p><span class="big">{viewer.propensity:.2f}</span> propensity of this {escape(stressed(viewer.shown))} '
        f'artwork</p><p><span class="big">{viewer.truth[viewer.shown.artwork_id]:.3f}</span> true chance; {verdict}</p>'
        f'<p><span class="big">{viewer.n_alike} of {N_LOVERS}</span> profiles that like {escape(viewer.genre)} most '
        f"are shown {escape(viewer.genre)} artwork of this title</p></div></div>{_table(example, viewer)}</article>"
    )


def _table(example: Example, viewer: Viewer) -> str:
    """List the likeliest artworks, the one shown among them."""
    rows = []
    ranked = sorted(enumerate(example.artworks), key=lambda one: -viewer.pmf[one[1].artwork_id])
    kept = [one for rank, one in enumerate(ranked) if rank < _MOST_ROWS or one[1] == viewer.shown]
    for place, artwork in kept:
        name = artwork.artwork_id
        mark = ' class="on"' if name == viewer.shown.artwork_id else ""
        rows.append(
            f'<tr{mark}><td><svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true"><use href="#art-{place}"/></svg>'
            f"</td><td>{escape(stressed(artwork))}</td>"
            f'<td style="width:38%"><span class="bar" style="width:{100 * viewer.pmf[name]:.0f}%"></span></td>'
            f"<td>{viewer.pmf[name]:.2f}</td><td>{viewer.truth[name]:.3f}</td></tr>"
        )
    n_more = len(ranked) - len(kept)
    rest = f'<p class="soft">and {n_more} more</p>' if n_more else ""
    return (
        '<table><tr><th></th><th>stresses</th><th colspan="2">probability</th><th>true chance</th></tr>'
        f"{''.join(rows)}</table>{rest}"
    )
