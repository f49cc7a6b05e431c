"""The page in a real browser: from a key to the next record, first paints, scrolling, live updates, what is shipped.

    python -m bench.page --data DATA [--only label paint scroll live size]

Each time stands beside a floor of the same run: the same key on an empty page, or the plainest page of the same server.
"""

import argparse
import contextlib
import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import tilth.web
from bench.machine import describe
from tilth.dataset import Dataset
from tilth.labeling.inbox import Inbox, Posted, Tasks
from tilth.runs.home import inbox_of, journal_of

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LABELS = 500
A_SECOND = 20
MILLION = 1_000_000
ROUNDS = 200
REPEATS = 9
SCREENS = 40

# From the key's own time stamp to the moment when the frame that shows its effect has been handed over for painting.
WATCH = """(selector) => {
  window.painted = [];
  let at = 0;
  addEventListener("keydown", (event) => { at = event.timeStamp; }, true);
  const seen = () => {
    if (!at) return;
    const began = at;
    at = 0;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => painted.push(performance.now() - began);
      channel.port2.postMessage(0);
    });
  };
  const what = { childList: true, subtree: true, characterData: true };
  new MutationObserver(seen).observe(document.querySelector(selector), what);
}"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The page in a real browser")
    parser.add_argument("--data", type=Path, help="folder with fashion_mnist/, cifar10n/, banking77/")
    parts: dict[str, Callable[[Any, Path | None], None]] = {
        "label": labels,
        "paint": paints,
        "scroll": scrolling,
        "live": live,
        "size": size,
    }
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    if not Path(CHROMIUM).exists():
        print(f"skipped: there is no {CHROMIUM} (apt-get install chromium)")
        return
    describe(
        ["playwright", "starlette", "uvicorn"],
        browser=subprocess.run([CHROMIUM, "--version"], check=True, capture_output=True, text=True).stdout.strip(),
        labels=f"{LABELS} at {A_SECOND} a second",
        repeats=REPEATS,
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in options.only:
            parts[name](browser, options.data)
        browser.close()


def told(what: str, seconds: Sequence[float], floor: Sequence[float], reach: str) -> None:
    """Print a row: median and 95th percentile in milliseconds, the floor's median, what was to be reached."""
    a, b = np.asarray(seconds) * 1e3, np.asarray(floor) * 1e3
    over = f"{np.median(a) / np.median(b):.1f} x the floor's {np.median(b):.1f}" if len(b) else ""
    print(f"{what:<58} {np.median(a):8.1f} ms, p95 {np.percentile(a, 95):7.1f} (n={len(a)})  {over:<28} reach {reach}")


@contextlib.contextmanager
def entered(browser: Any, project: Path) -> Generator[Page]:
    """Serve a project by `tilth ui`, and yield a page of a browser that has come in."""
    command = [
        sys.executable,
        "-c",
        "from tilth.cli import main; main()",
        "ui",
        str(project),
        "--port",
        "0",
        "--no-browser",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"http\S+", process.stdout.readline())
    assert found is not None
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(found.group())
    page.wait_for_url(lambda url: "/enter" not in url)
    try:
        yield page
    finally:
        context.close()
        process.terminate()
        process.communicate()


def address(page: Page, path: str) -> str:
    """Return an address on the server that a page came from."""
    at = urlsplit(page.url)
    return f"{at.scheme}://{at.netloc}{path}"


# -- labelling -----------------------------------------------------------------------------------------------------


def labels(browser: Any, data: Path | None) -> None:
    """Type labels: from each key to the next record, and whether each answer is on a record of its own."""
    blank = browser.new_page()
    blank.set_content("<p id=record>0</p>")
    blank.evaluate(
        "addEventListener('keydown', (e) => { document.getElementById('record').textContent = e.timeStamp; })"
    )
    floor = typed(blank, "1" * 100)
    blank.close()
    for name, column in (("fashion_mnist", "image"), ("cifar10n", "jpg"), ("banking77", "text")):
        if data is None or not (data / name / "train.parquet").exists():
            print(f"{name}: skipped, it is not under --data")
            continue
        with tempfile.TemporaryDirectory() as folder:
            project, classes = asked(data / name / "train.parquet", column, Path(folder))
            with entered(browser, project) as page:
                page.goto(address(page, "/label"))
                page.locator("#record > *").first.wait_for()
                page.wait_for_load_state("networkidle")
                seconds = typed(page, "12345" * (LABELS // 5) if classes <= 20 else "1" * LABELS)
                page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.includes('/out/'))")
            with Inbox(inbox_of(project / "dataset")) as inbox:
                done = inbox.progress("q")
            told(f"{name}: key to next record ({classes} classes)", seconds, floor, "<= 17, p95 <= 35")
            print(f"{'':<58} {done.answers} answers on {done.complete} records of {LABELS} typed")
            assert done.answers == done.complete == LABELS, "an answer was lost or doubled"


def typed(page: Page, keys: str) -> list[float]:
    """Press keys at a steady pace; return the seconds from each to the frame that shows its effect."""
    page.evaluate(WATCH, "#record")
    begin = time.perf_counter()
    for i, key in enumerate(keys):
        time.sleep(max(0.0, begin + i / A_SECOND - time.perf_counter()))
        page.keyboard.press(key)
    page.wait_for_function("(n) => window.painted.length >= n", arg=len(keys))
    return [s / 1e3 for s in page.evaluate("window.painted")]


def asked(file: Path, column: str, folder: Path) -> tuple[Path, int]:
    """Make a project whose people are asked about `LABELS` records and a few more; return it, and how many classes."""
    table = pq.read_table(file)  # taken from all over: it may be sorted by class
    table = table.take(np.linspace(0, len(table) - 1, LABELS + 100).astype(np.int64))
    names = [n for n in ("label_name", "clean_label", "label") if n in table.column_names]
    values = files(table[column])
    classes = sorted({f"{v}" for v in table[names[0]].to_pylist()})
    dataset = Dataset.create(
        folder / "p" / "dataset",
        pa.table({column: values, "label": pa.nulls(len(table), pa.string())}),
        label="label",
        classes=classes,
        splits={"train": 1.0},
    )
    form = {"label": "class", "classes": classes}
    ids = np.arange(LABELS, dtype=np.int64)
    posted = Posted("q", "label", "", str(dataset.path), "main", 0, "run-1", "ask", reason="sample", form=form)
    with Inbox(inbox_of(dataset.path)) as inbox:
        inbox.publish(posted, Tasks(ids, dataset.keys(ids)))
    return folder / "p", len(classes)


def files(column: pa.ChunkedArray) -> pa.Array:
    """Return texts and encoded pictures as they are, and 28 x 28 bytes of grey as PNG files."""
    values = column.combine_chunks()
    if not pa.types.is_binary(values.type) or len(values[0].as_py()) != 784:
        return values
    made: list[bytes] = []
    for grey in values.to_pylist():
        file = io.BytesIO()
        Image.frombytes("L", (28, 28), grey).save(file, "PNG", compress_level=1)
        made.append(file.getvalue())
    return pa.array(made, pa.binary())


# -- first paints and scrolling -----------------------------------------------------------------------------------


def painted(page: Page, path: str) -> list[float]:
    """Return the seconds to the first contentful paint of a page, several times over."""
    seconds: list[float] = []
    for _ in range(REPEATS):
        page.goto(address(page, path), wait_until="load")
        page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
        seconds.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1e3)
    return seconds


def paints(browser: Any, data: Path | None) -> None:
    """Open a run of 200 rounds, and a grid over 60,000 images."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = long_run(Path(folder))
        with entered(browser, dataset) as page:
            floor = painted(page, "/nothing")
            told(f"first paint of a run with {ROUNDS} rounds", painted(page, "/runs/run-1"), floor, "<= 500")
    if data is None or not (data / "fashion_mnist/train.parquet").exists():
        print("grid over 60,000 images: skipped, fashion_mnist is not under --data")
        return
    with tempfile.TemporaryDirectory() as folder:
        images = files(pq.read_table(data / "fashion_mnist/train.parquet")["image"])
        Dataset.create(Path(folder) / "p/dataset", pa.table({"image": images}), classes=["any"], splits={"train": 1.0})
        with entered(browser, Path(folder) / "p") as page:
            floor = painted(page, "/nothing")
            told(f"first paint of a grid over {len(images):,} images", painted(page, "/records"), floor, "<= 500")


def long_run(folder: Path) -> Path:
    """Return the project of a run with many rounds, each with a change."""
    program = f"""
from pathlib import Path
from tilth import Dataset, Oracle, Rule, Workflow, annotate, rounds, run, unlabeled
from tilth.demo.data import digits
from tilth.integrations.sklearn import SklearnModel
from sklearn.naive_bayes import GaussianNB
made = digits(Path({str(folder)!r}) / "p" / "dataset", seed=0)
ask = Rule(select=unlabeled.sample(2), do=annotate(by=Oracle("truth")))
until = rounds() >= {ROUNDS - 1}
run(Workflow(dataset=made, model=SklearnModel(GaussianNB()), rules={{"ask": ask}}, until=until), inline=True)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    return folder / "p"


def scrolling(browser: Any, _: Path | None) -> None:
    """Scroll through a million records, a screen at a time, from one end to the other."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        words = np.array(["loam", "clay", "silt", "sand", "peat", "chalk", "marl", "gravel"])
        text = [" ".join(row) for row in words[rng.integers(0, len(words), (MILLION, 5))]]
        table = pa.table({"text": text, "x": rng.random(MILLION).astype(np.float32)})
        Dataset.create(Path(folder) / "p/dataset", table, classes=["any"], splits={"train": 1.0})
        with entered(browser, Path(folder) / "p") as page:
            page.goto(address(page, "/records"))
            page.locator("#view [data-at]").first.wait_for()
            seconds = page.evaluate(SCROLL, SCREENS)
        told(f"a screen of {MILLION:,} records, anywhere", [s / 1e3 for s in seconds], [], "<= 100")


SCROLL = """async (screens) => {
  const view = document.getElementById("view"), taken = [];
  const settled = () => !view.querySelector(".coming") && view.querySelector("[data-at]");
  for (let i = 1; i <= screens; i++) {
    const began = performance.now();
    view.scrollTop = (view.scrollHeight - view.clientHeight) * ((i * 0.618) % 1);
    await new Promise((go) => requestAnimationFrame(go));
    while (!settled()) await new Promise((go) => requestAnimationFrame(go));
    taken.push(performance.now() - began);
    await new Promise((go) => setTimeout(go, 250));
  }
  return taken;
}"""


# -- live updates, and what is shipped ----------------------------------------------------------------------------


def live(browser: Any, _: Path | None) -> None:
    """Follow a run while it goes on: from a step's end, as the journal has it, to its picture."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"""
import time
from pathlib import Path
from tilth import Dataset, Oracle, Rule, Workflow, annotate, rounds, run, unlabeled
from tilth.demo.arms import base_model
from tilth.demo.data import digits
from tilth.integrations.sklearn import SklearnModel
made = digits(Path({str(folder)!r}) / "p" / "dataset", seed=0)
ask = Rule(select=unlabeled.sample(2), do=annotate(by=Oracle("truth")))
work = Workflow(dataset=made, model=SklearnModel(base_model()), rules={{"ask": ask}}, until=rounds() >= 40)
def listen(event):
    print(event["what"], flush=True)
    if event["what"] == "evaluated":
        time.sleep(0.5)
run(work, inline=True, listen=listen)
"""
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        with entered(browser, Path(folder) / "p") as page:
            page.goto(address(page, "/runs/run-1"))
            page.evaluate(FOLLOW)
            process.communicate()
            page.wait_for_function("() => document.getElementById('last').dataset.at && window.seen.length > 20")
            seen = dict(page.evaluate("window.seen"))
        with contextlib.closing(journal_of(Path(folder) / "p" / "dataset")) as journal:
            steps = journal.since("run-1")[1]
        late = [seen[s["number"]] / 1e3 - s["finished"] for s in steps if s["number"] in seen]
        told("from a step's end to its picture", late, [], "<= 300")


FOLLOW = """() => {
  window.seen = [];
  const last = document.getElementById("last");
  new MutationObserver(() => requestAnimationFrame(() => seen.push([+last.dataset.at, Date.now()])))
    .observe(last, { attributes: true, attributeFilter: ["data-at"] });
}"""


def size(_: Any, __: Path | None) -> None:
    """Count the bytes of browser code that is shipped."""
    static = Path(tilth.web.__file__).parent / "static"
    scripts = {p.name: p.stat().st_size for p in sorted(static.rglob("*.js"))}
    print(f"{'browser code, raw bytes':<58} {sum(scripts.values()):8,}")
    print(f"{'':<58} {', '.join(f'{n} {s:,}' for n, s in scripts.items())}")
    print(f"{'':<58} reach <= 120,000")


if __name__ == "__main__":
    main()
