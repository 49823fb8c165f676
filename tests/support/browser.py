"""Pages in a real browser, for several tests."""

import json
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest


def run_page(html: str, probe: str, folder: Path) -> Any:
    """What a script at the end of the page has seen: it leaves "SEEN", JSON and "SEEN" as the text of the body.

    Whatever the page writes to the console is an error. The skip says why there is no browser.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine to open the page in")
    page = folder / "probe.html"
    page.write_text(html.replace("</body>", f"<script>{probe}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}"]
    command = [browser, *options, "--enable-logging=stderr", "--virtual-time-budget=6000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    return json.loads(unescape(done.stdout.split("SEEN")[1]))
