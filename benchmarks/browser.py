"""The example pages in a real browser: ``python benchmarks/browser.py [PICTURES]`` writes ``results/pages.md``.

Each page is opened by Chromium without a screen and with a proxy that answers nothing, at three widths, on a light and on a
dark screen, with and without JavaScript. axe-core (fetched by npm for this alone) looks for barriers by WCAG 2 A and AA.
With a folder for PICTURES, what was seen is kept there.
"""

import base64
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import structs
from pages import PAGES, ROOT, main
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait
from tabulate import tabulate

from attnbench import load_run
from attnbench.report import FORMATS

WIDTHS = (1280, 768, 390)
JUDGED = (("light", 1280), ("dark", 390))
"""Colours and widths at which axe-core looks: it takes long, and each colour and layout once is enough."""
AXE = "axe-core@4"
ASKED = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations']}).then(arguments[0])"
DRAWN = "document.querySelectorAll('section').forEach(one => one.style.contentVisibility = 'visible')"
"""Has the browser draw also what is out of sight, for the pictures and for axe-core."""
JUMP = """
const [done, began] = [arguments[0], performance.now()];
document.querySelector("#all-cases").scrollIntoView();
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
"""
"""How long it takes to scroll to the table of all cases and show it, in ms."""
MANY, OPENED = 500, 5
"""Cases of the page whose opening is timed, those of the report study again and again; and how often it is opened."""


def browser(*, scripts: bool = True) -> webdriver.Chrome:
    """A browser in which every connection fails."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def axe(folder: Path) -> str:
    """The source of axe-core."""
    subprocess.run(["npm", "pack", AXE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S607
    (archive,) = folder.glob("axe-core-*.tgz")
    subprocess.run(["tar", "-xzf", archive.name, "package/axe.min.js"], cwd=folder, check=True)  # noqa: S607
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def look(driver: webdriver.Chrome, page: Path, rules: str, pictures: Path | None) -> dict[str, Any]:
    """What is to be seen of a page at all widths, in both colours."""
    found = {"violations": [], "wider": []}
    for colours in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for width in WIDTHS:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(page.resolve().as_uri())
            loaded = driver.execute_script("const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd")
            enliven(driver)
            driver.execute_script(DRAWN)
            if driver.execute_script("return document.documentElement.scrollWidth > window.innerWidth"):
                found["wider"].append(width)
            if (colours, width) in JUDGED:
                driver.execute_script(rules)
                result = driver.execute_async_script(ASKED)
                found["violations"] += [f"{one['id']} ({len(one['nodes'])})" for one in result["violations"]]
            found.setdefault("load (ms)", round(loaded))
            if pictures is not None:
                shot(driver, pictures / f"{page.stem}-{colours}-{width}.png", width)
    return found


def enliven(driver: webdriver.Chrome) -> None:
    """Scroll through the page until every chart is live."""
    for place in range(len(driver.find_elements("css selector", ".plot"))):
        driver.execute_script(f"document.querySelectorAll('.plot')[{place}].scrollIntoView()")
        live = f"return document.querySelectorAll('.plot')[{place}].dataset.live"
        WebDriverWait(driver, 30).until(lambda one, live=live: one.execute_script(live) == "yes")
    driver.execute_script("window.scrollTo(0, 0)")


def shot(driver: webdriver.Chrome, path: Path, width: int) -> None:
    """The whole page as a picture."""
    height = driver.execute_script("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 12000), "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(taken["data"]))


def network(driver: webdriver.Chrome) -> int:
    """Requests that left the file."""
    sent = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    asked = (one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent")
    return sum(not url.startswith(("file:", "data:", "chrome")) for url in asked)


def many(folder: Path) -> Path:
    """A page of many cases, made of the report study's at other sizes."""
    run = load_run(ROOT / "results" / "report").run
    records = [
        replace(record, case=structs.replace(record.case, size=f"{384 + 32 * turn}x640"))
        for turn in range(-(-MANY // len(run.records)))
        for record in run.records
    ][:MANY]
    header = replace(run.header, cases=tuple(record.case for record in records))
    path = folder / f"{MANY} cases.html"
    path.write_text(FORMATS.load("html").render(replace(run, header=header, records=tuple(records))), encoding="utf-8")
    return path


def opening(page: Path) -> tuple[int, int]:
    """How long a page takes to open, and then to show the table of all its cases, in ms."""
    driver = browser()
    try:
        times = []
        for _ in range(OPENED):
            driver.get(page.resolve().as_uri())
            loaded = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
            times.append((loaded, driver.execute_async_script(JUMP)))
        opened, jumped = (round(median(taken)) for taken in zip(*times, strict=True))
        return opened, jumped
    finally:
        driver.quit()


def row(page: Path, rules: str, pictures: Path | None) -> dict[str, Any]:
    """A page's line in the table."""
    text = page.read_text(encoding="utf-8")
    driver, plain = browser(), browser(scripts=False)
    driver.set_script_timeout(100)
    try:
        found = look(driver, page, rules, pictures)
        errors = [one for one in driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
        plain.get(page.resolve().as_uri())
        shown = len(plain.find_elements("css selector", ".plot svg"))
        rows = len(plain.find_elements("css selector", "tbody tr"))
        return {
            "page": page.stem,
            "MB": f"{len(text.encode()) / 1e6:.2f}",
            "MB, gzip": f"{len(gzip.compress(text.encode())) / 1e6:.2f}",
            "opens (ms)": found["load (ms)"],
            "requests": network(driver),
            "console errors": len(errors),
            "axe violations": "; ".join(sorted(set(found["violations"]))) or "0",
            "wider than the screen at": ", ".join(map(str, sorted(set(found["wider"])))) or "–",
            "without JavaScript": f"{shown} charts, {rows} rows",
        }
    finally:
        driver.quit()
        plain.quit()


def report(pictures: Path | None) -> str:
    """The table of all pages."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        rules, began = axe(scratch), time.monotonic()
        pages = main(PAGES)
        spent = time.monotonic() - began
        rows = [row(page, rules, pictures) for page in pages]
        opened, jumped = opening(many(scratch))
        version = re.search(r"axe v([\d.]+)", rules)
    driver = browser()
    told = driver.capabilities["browserVersion"]
    driver.quit()
    return (
        "# The example pages in a browser\n\nMade by `python benchmarks/browser.py`, on Chromium "
        f"{told} with axe-core {version[1] if version else '?'}; {len(pages)} pages were written in {spent:.1f} s. Each was "
        f"looked at {', '.join(map(str, WIDTHS))} pixels wide, light and dark, with a proxy that answers nothing.\n\n"
        f"{tabulate(rows, headers='keys', tablefmt='pipe', disable_numparse=True)}\n\n"
        f"The page of a run of {MANY} cases opens in {opened} ms, and shows the table of all its cases {jumped} ms after a "
        f"jump there: medians of {OPENED} times.\n"
    )


if __name__ == "__main__":
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
    (ROOT / "results" / "pages.md").write_text(report(kept), encoding="utf-8")
    print((ROOT / "results" / "pages.md").read_text(encoding="utf-8"))
