"""What holds for the repository as a whole. Each check is also run on a planted mistake, which it must find."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.reference import exports, fenced, stale

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "tilth"
SOURCES = sorted(SRC.rglob("*.py"))
HEAVY = ("lance", "matplotlib", "optuna", "pandas", "pyarrow", "scipy", "skops", "sklearn", "torch")

# Put together from halves, so that this file does not contain what it looks for.
REGISTRIES = re.compile(
    "|".join(["py" + r"pi\.org", "python" + "hosted", "npm" + r"js\.", "index" + "-url", "find" + "-links"])
)
MACHINE_PATH = re.compile(
    r"(?<![\w.~*:/-])/(?:" + "|".join(["root", "home", "Users", "work", "opt", "mnt"]) + r")/[\w.]"
)
LOCKED = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*==[0-9][a-z0-9.]*")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
FRAGMENT = re.compile(r"[a-z0-9-]+\.(feature|change|fix|removal|docs)\.md")


def too_long(source: str, *, limit: int = 400) -> bool:
    """Whether a file has more lines than the limit and its docstring gives no reason ("... lines because ...")."""
    reason = ast.get_docstring(ast.parse(source)) or ""
    return source.count("\n") > limit and "lines because" not in " ".join(reason.split())


def unsafe(source: str) -> Iterator[str]:
    """Yield what a file does that could run code found in data, or that hides an import from the floors."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module=module, names=names):
                modules = [module or "", *(f"{module}.{name.name}" for name in names)]
            case _:
                modules = []
        for module in modules:
            if module.partition(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}:
                yield f"import {module}"
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name == "TYPE_CHECKING" or name.endswith("_pickle"):
            yield name
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in {"torch.load", "eval", "exec"}:
                yield called
            if options.get("allow_pickle", "False") != "False":
                yield "allow_pickle"
            if called in {"np.load", "numpy.load"} and "allow_pickle" not in options:
                yield f"{called} without allow_pickle=False"


def unsuited(text: str) -> list[str]:
    """Return what ties a text to one machine: hosts of package registries and absolute paths."""
    return [found.group() for pattern in (REGISTRIES, MACHINE_PATH) for found in pattern.finditer(text)]


def one_sentence(doc: str | None) -> bool:
    """Whether a docstring begins with a line that is one whole sentence, and a blank line if it goes on."""
    first, *rest = (doc or "").strip().splitlines() or [""]
    return first.endswith(".") and not re.search(r"[.!?] [A-Z]", first) and (not rest or not rest[0].strip())


def broken_links(page: Path) -> list[str]:
    """Return the links of a Markdown page that lead to no file."""
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("mailto:")]
    return [link for link in links if not (page.parent / link).exists()]


def tracked() -> list[Path]:
    """Return the files that are, or with the next commit would be, part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """Return the text of a file, or nothing where it is binary."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) >= 10
    assert ROOT / "pyproject.toml" in tracked()
    assert len(exports((SRC / "__init__.pyi").read_text())) >= 10


def test_no_file_is_long_without_a_reason() -> None:
    assert [path.name for path in SOURCES if too_long(path.read_text())] == []


def test_long_files_are_found() -> None:
    assert too_long('"""A file."""\n' + "x = 1\n" * 400)
    assert not too_long('"""A file.\n\n500 lines\nbecause it is a table."""\n' + "x = 1\n" * 500)
    assert not too_long('"""A file."""\n' + "x = 1\n" * 399)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SRC)))
def test_no_source_runs_code_found_in_data_or_hides_an_import(path: Path) -> None:
    assert list(unsafe(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.numpy_pickle as j",
        "from cloudpickle import dumps",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING: pass",
        "import typing\nif typing.TYPE_CHECKING: pass",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "np.load(path)",
        "frame.to_pickle(path)",
        "eval(text)",
    ],
)
def test_unsafe_source_is_found(source: str) -> None:
    assert list(unsafe(source))


def test_safe_source_passes() -> None:
    source = '"""Never pickle."""\nnp.load(path, allow_pickle=False)\nmodel.eval()\n# TYPE_CHECKING'
    assert list(unsafe(source)) == []


def test_every_folder_of_the_package_is_a_package() -> None:
    # import-linter sees packages only: in a folder without __init__.py no floor would be law.
    assert [str(path.parent) for path in SOURCES if not (path.parent / "__init__.py").is_file()] == []


def test_no_file_is_tied_to_one_machine() -> None:
    assert {str(path.relative_to(ROOT)): found for path in tracked() if (found := unsuited(text_of(path)))} == {}


def test_what_ties_a_file_to_one_machine_is_found() -> None:
    assert unsuited("pip install --index" + "-url http://10.0.0.1/simple tilth")
    assert unsuited("https://files.python" + "hosted.org/packages/x.whl")
    assert unsuited("cd /" + "home/alice/tilth")
    assert unsuited('path = "/' + 'root/data"')
    assert unsuited("docs/" + "home/index.md and https://example.org/" + "home/x and ../" + "work/x") == []


def test_constraints_hold_exact_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not LOCKED.fullmatch(line)] == []
    assert lines == sorted(set(lines), key=lambda line: line.partition("==")[0])


@pytest.mark.parametrize(
    "line", ["", "# comment", "numpy", "numpy>=2", "numpy @ https://example.org/x.whl", "-e .", "a==1+cpu"]
)
def test_other_lines_in_constraints_are_found(line: str) -> None:
    assert not LOCKED.fullmatch(line)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    names = {re.split(r"[\[<>=!~ ;]", need, maxsplit=1)[0].lower() for need in asked}
    locked = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - locked == set()


def test_readme_says_how_to_see_it_run_and_how_to_test_it() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme


def test_links_between_pages_lead_somewhere() -> None:
    pages = [path for path in tracked() if path.suffix == ".md"]
    assert {str(path.relative_to(ROOT)): broken for path in pages if (broken := broken_links(path))} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#part) [there](gone.md) [web](https://example.org/x)")
    assert broken_links(page) == ["gone.md"]


def test_news_fragments_are_named_by_kind() -> None:
    names = {path.name for path in (ROOT / "changelog").iterdir()} - {"README.md"}
    assert {name for name in names if not FRAGMENT.fullmatch(name)} == set()
    assert not FRAGMENT.fullmatch("something.news.md")


def test_every_public_name_says_what_it_is_in_one_sentence() -> None:
    names = exports((SRC / "__init__.pyi").read_text())
    things = {name: getattr(importlib.import_module(module), name) for name, module in names.items()}
    assert {name for name, thing in things.items() if not one_sentence(thing.__doc__)} == set()


@pytest.mark.parametrize(
    "doc",
    [
        None,
        "",
        "No full stop",
        "Two. Sentences.",
        "A sentence that goes\non in the next line.",
        "Point(x: int, y: int)",
    ],
)
def test_docstrings_that_are_not_one_sentence_are_found(doc: str | None) -> None:
    assert not one_sentence(doc)


def test_docstrings_that_are_one_sentence_pass() -> None:
    assert one_sentence("A number in [0.5, 1) per record, e.g. 0.7.\n\nMore. And more.")


def test_the_package_exports_what_its_stub_declares() -> None:
    tilth = importlib.import_module("tilth")
    names = exports((SRC / "__init__.pyi").read_text())
    assert set(names) <= set(dir(tilth))
    assert [name for name in names if not hasattr(tilth, name)] == []


def loaded_by(statement: str) -> set[str]:
    """Return which heavy libraries are loaded once a fresh interpreter has run a statement."""
    code = f"{statement}; import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_tilth_loads_no_heavy_library() -> None:
    assert loaded_by("import tilth") == set()


def test_heavy_libraries_are_seen() -> None:
    assert loaded_by("import pyarrow") == {"pyarrow"}


def test_stale_reference_pages_are_found(tmp_path: Path) -> None:
    (tmp_path / "same.md").write_text("same")
    (tmp_path / "other.md").write_text("old")
    (tmp_path / "gone.md").write_text("describes nothing")
    assert stale({"same.md": "same", "other.md": "new", "missing.md": "x"}, tmp_path) == [
        "gone.md",
        "missing.md",
        "other.md",
    ]


def test_examples_in_docstrings_become_code_blocks() -> None:
    assert fenced("A.\n\n>>> 1\n1\n\nB.") == "A.\n\n```python\n>>> 1\n1\n```\n\nB."
