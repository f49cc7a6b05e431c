"""Draw the workflows of the README and of the how-to pages.

`python -m tools.drawings` writes the pictures; `--check` only says which differ from the code, and exits 1. Workflows
are read out of the pages, so that text and picture cannot tell different things.
"""

import contextlib
import doctest
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from tilth import Dataset
from tilth.cli.loading import workflow_in

ROOT = Path(__file__).parent.parent


def block(page: str) -> str:
    """Return the first Python block of a Markdown page."""
    found = re.search(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError("there is no block of Python in the page")
    return found.group(1)


def picture(page: str) -> str:
    """Return the drawing of the workflow in a page as SVG, on the digits that come with scikit-learn, half labelled."""
    pixels, truth = load_digits(return_X_y=True)
    names = truth.astype(str).astype(object)
    labels = np.where(np.arange(len(names)) % 2 == 0, names, None)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        source = {"pixels": pixels.astype(np.float32), "truth": names, "digit": labels}
        Dataset.create("digits", source, label="digit", hidden=["truth"], durability="process")
        file = Path(f"readme_{Path(folder).name}.py")  # a module of its own each time
        file.write_text(block(page), encoding="utf-8")
        _, workflow = workflow_in(file, None)
        return workflow.draw().svg


def shown(page: str) -> str:
    """Return the drawing of the first workflow that the examples of a page call `flow`; nothing after it is run."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for example in doctest.DocTestParser().get_examples(page):
        with contextlib.redirect_stdout(None):
            exec(example.source, names)  # noqa: S102  the project's own pages, as its tests run them
        if "flow" in names:
            return names["flow"].draw().svg
    raise ValueError("no example of the page makes a workflow called flow")


def pictures() -> dict[Path, str]:
    """Return every picture by its file: the README's, and the one that each how-to page asks for."""
    found = {ROOT / "docs" / "loop.svg": picture((ROOT / "README.md").read_text(encoding="utf-8"))}
    for path in sorted((ROOT / "docs" / "how-to").glob("*.md")):
        page = path.read_text(encoding="utf-8")
        named = re.search(r"^!\[[^\]]*\]\((drawings/[a-z-]+\.svg)\)$", page, re.MULTILINE)
        if named is not None:
            found[path.parent / named.group(1)] = shown(page)
    return found


def main(*, check: bool) -> int:
    """Write the pictures, or only compare them; return the exit status."""
    made = pictures()
    old = [path for path, svg in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != svg]
    for path in old:
        if check:
            print(f"{path.relative_to(ROOT)} differs from its page or how it is drawn; run: make docs")
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    if not check:
        print(f"drawings: {len(made)}, {len(old)} of them new or changed")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
