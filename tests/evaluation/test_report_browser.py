"""A browser really draws the report's charts, at the width of a desk and of a phone."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import judge
from evaluation.gate_check import GateRules
from evaluation.report import render_report
from models.policy import UniformPolicy
from tests.evaluation.test_breakdown import varied
from tests.evaluation.world import TasteFirst, make_world

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HINT = f"no browser found, looked for {', '.join(BROWSERS)}: install one (Debian: apt-get install chromium)"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--hide-scrollbars", "--virtual-time-budget=20000",
)  # fmt: skip
CHARTS = ("replay", "segments", "tastes-0", "tastes-1", "days", "weights")
PHONE_PX = 390

# A headless window is never narrower than 500 px, so that the phone is a frame. It measures itself from outside.
FRAME = """<!DOCTYPE html><body style="margin:0"><script>
const frame = document.createElement('iframe');
frame.style = 'border:0;width:%dpx;height:800px';
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument;
  const wide = [...page.querySelectorAll('.chart')].map((chart) => chart.querySelector('.main-svg').clientWidth);
  document.body.dataset.found = JSON.stringify({
    width: page.documentElement.scrollWidth, charts: wide,
    bars: page.querySelectorAll('.chart .errorbar').length});
}, 3000);
frame.srcdoc = %s;
document.body.append(frame);
</script></body>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("MARQUEE_REQUIRE_SERVICES") == "1":
            pytest.fail(HINT)
        pytest.skip(HINT)
    return found


@pytest.fixture(scope="module")
def page() -> str:
    rng = np.random.default_rng(5)
    world = varied(make_world(rng, n_profiles=400, ragged=True), rng)
    policies = {"uniform": UniformPolicy(), "best-artwork": TasteFirst(0.7), "a-rather-long-name": TasteFirst(0.1)}
    evaluation = evaluate(policies, world.batches(), champion="uniform")
    verdicts = [judge(evaluation, name, GateRules()) for name in ("best-artwork", "a-rather-long-name")]
    return render_report(evaluation, verdicts, truth={"uniform": 0.2})


def dumped(browser: str, path: Path, tmp_path: Path, *flags: str) -> str:
    """The document as it stands when the page's scripts are done."""
    command = [browser, *FLAGS, *flags, f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_chart_is_drawn_with_its_marks(browser: str, page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page)
    drawn = dumped(browser, path, tmp_path)
    parts = {
        name: part
        for name, part in zip(CHARTS, re.split(r'<div class="chart[^"]*" id="', drawn)[1:], strict=True)
        if part.startswith(f'{name}"')
    }
    assert set(parts) == set(CHARTS)
    for name, part in parts.items():
        assert 'class="main-svg"' in part, name
        assert 'class="subplot xy"' in part, name
    marks = {"replay": "errorbar", "segments": "errorbar", "days": "errorbar", "weights": "point", "tastes-0": "hm"}
    for name, mark in marks.items():
        assert f'class="{mark}' in parts[name], name
    # uniform, best artwork and the candidate, and a point a segment
    assert parts["replay"].count('class="errorbar"') == 3
    assert parts["segments"].count('class="errorbar"') > 15


def test_in_the_dark_the_page_is_dark_and_its_words_are_light(browser: str, page: str, tmp_path: Path) -> None:
    script = "<script>document.body.dataset.found = JSON.stringify([getComputedStyle(document.body).backgroundColor, "
    script += "getComputedStyle(document.body).color])</script></body>"
    path = tmp_path / "dark.html"
    path.write_text(page.replace("</body>", script))
    brightness = {}
    for name, flags in {"light": (), "dark": ("--blink-settings=preferredColorScheme=0",)}.items():
        found = re.search(r'data-found="([^"]*)"', dumped(browser, path, tmp_path, *flags))
        assert found is not None
        told = json.loads(unescape(found.group(1)))
        brightness[name] = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in told]
    assert brightness["light"][0] > 600 > 200 > brightness["light"][1]
    assert brightness["dark"][0] < 200 < 500 < brightness["dark"][1]


def test_on_a_phone_every_chart_fits_and_nothing_scrolls_sideways(browser: str, page: str, tmp_path: Path) -> None:
    path = tmp_path / "phone.html"
    path.write_text(FRAME % (PHONE_PX, json.dumps(page).replace("</", "<\\/")))
    found = re.search(r'<body[^>]* data-found="([^"]*)"', dumped(browser, path, tmp_path))
    assert found is not None
    measured = json.loads(unescape(found.group(1)))
    assert measured["width"] == PHONE_PX
    assert len(measured["charts"]) == len(CHARTS)
    assert all(200 < width <= PHONE_PX for width in measured["charts"])
    assert measured["bars"] > 20
