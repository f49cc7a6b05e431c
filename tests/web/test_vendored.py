"""The browser code of others is just what its packages hold, and all of ours together stays small."""

import hashlib
from pathlib import Path

import pytest

import tilth.web
from tilth.web.app import VENDORED

STATIC = Path(tilth.web.__file__).parent / "static"


@pytest.mark.parametrize("entry", VENDORED, ids=lambda e: e["file"])
def test_a_vendored_file_has_its_hash_and_its_licence(entry):
    data = (STATIC / "vendor" / entry["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert (STATIC / "vendor" / entry["licence_file"]).read_text().strip()
    assert entry["licence"] in ("MIT", "0BSD")


def test_nothing_else_lies_beside_them():
    known = {e["file"] for e in VENDORED} | {e["licence_file"] for e in VENDORED} | {"vendored.json"}
    assert {p.name for p in (STATIC / "vendor").iterdir()} == known


def test_browser_code_is_at_most_120_kilobytes():
    scripts = sum(p.stat().st_size for p in STATIC.rglob("*.js"))
    assert 90_000 < scripts <= 120_000
