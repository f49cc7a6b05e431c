"""Write constraints.txt: the exact version of everything that Tilth and all of its extras install.

Run it as `make lock` after a dependency was added or is to be moved up. It asks pip for one set of versions that fits
all extras together, so that adding an extra never changes what is already installed. Nothing is installed.

The file holds names and versions only: where packages come from is the business of the machine that installs them.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent


def extras(pyproject: str) -> list[str]:
    """Return the names of the extras, sorted."""
    return sorted(tomllib.loads(pyproject)["project"]["optional-dependencies"])


def lines(installed: Iterable[Mapping[str, Any]], *, leave_out: str) -> list[str]:
    """Return the `name==version` lines for the packages of a pip report, sorted by name."""
    # Lower case with dashes is how pip itself compares names.
    found = {re.sub(r"[-_.]+", "-", p["metadata"]["name"]).lower(): p["metadata"] for p in installed}
    found.pop(leave_out, None)
    # "2.13.0+cpu" is one machine's build of 2.13.0; the lock must fit the others too.
    return [f"{name}=={found[name]['version'].partition('+')[0]}" for name in sorted(found)]


def main() -> None:
    """Resolve all extras together and write the file."""
    wanted = f"{ROOT}[{','.join(extras((ROOT / 'pyproject.toml').read_text()))}]"
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        # --ignore-installed: the versions must not depend on what this environment happens to hold.
        options = ["-qq", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, wanted], check=True)
        locked = lines(json.loads(report.read_text())["install"], leave_out="tilth")
    (ROOT / "constraints.txt").write_text("\n".join(locked) + "\n")
    print(f"constraints.txt: {len(locked)} packages")


if __name__ == "__main__":
    main()
