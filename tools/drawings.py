"""Draw the README's workflow for the README: docs/loop.svg.

`python -m tools.drawings` writes the picture; `--check` only says whether it differs from the code, and exits 1. The
workflow is read out of the README, so that text and picture cannot tell different things.
"""

import contextlib
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from tilth import Dataset
from tilth.cli.loading import workflow_in

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "loop.svg"


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


def main(*, check: bool) -> int:
    """Write the picture, or only compare it; return the exit status."""
    made = picture((ROOT / "README.md").read_text(encoding="utf-8"))
    same = PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == made
    if check:
        if not same:
            print("docs/loop.svg differs from the workflow in README.md or how it is drawn; run: make docs")
        return 0 if same else 1
    PICTURE.write_text(made, encoding="utf-8")
    print(f"docs/loop.svg: {'as it was' if same else 'new or changed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
