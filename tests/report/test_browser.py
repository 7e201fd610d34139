"""The page in a real browser; left out where there is no Chromium."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--virtual-time-budget=8000", "--window-size=1400,1000", "--hide-scrollbars", "--dump-dom"),
]
MEASURE = """
addEventListener("load", function () { setTimeout(function () {
  var root = document.documentElement;
  var wide = Array.from(document.querySelectorAll("body *")).filter(function (element) {
    return element.getBoundingClientRect().right > root.clientWidth + 1 && !element.closest("svg");
  }).map(function (element) { return element.tagName + "." + element.className; });
  parent.postMessage(JSON.stringify({
    seen: root.clientWidth, needed: root.scrollWidth, wide: wide,
    charts: document.querySelectorAll(".chart .main-svg").length,
    points: document.querySelectorAll(".chart .scatterlayer .point").length,
    broken: Array.from(document.images).filter(function (image) { return !image.naturalWidth; }).length
  }), "*");
}, 500); });
"""
FRAME = """<!doctype html><body><pre id="found"></pre>
<script>addEventListener("message", function (event) {
  document.getElementById("found").textContent = event.data; });</script>
<iframe src="page.html" style="border:0;width:WIDTHpx;height:800px"></iframe>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.soak)])
def test_the_page_fits_its_window_and_draws_everything(page: str, tmp_path: Path, width: int) -> None:
    """The page keeps its own policy; one more script, allowed by its hash, measures from inside."""
    digest = base64.b64encode(hashlib.sha256(MEASURE.encode()).digest()).decode()
    page = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    page = page.replace('loading="lazy"', "").replace("</body>", f"<script>{MEASURE}</script></body>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, (tmp_path / "frame.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match is not None
    found = json.loads(html.unescape(match[1]))
    assert found["seen"] == width
    assert found["needed"] == width, found["wide"]
    assert found["charts"] >= 7
    assert found["points"] > 30
    assert found["broken"] == 0
