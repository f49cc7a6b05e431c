"""Write docs/reference out of the docstrings: one page for each part of Tilth, and an index.

`python -m tools.reference` writes the pages; `--check` only says which of them differ from the code, and exits 1.

What is public is read from `tilth/__init__.pyi` (one page for each module or package that it names) and, for the
modules in `MODULES` and the integrations, from their `__all__`. Signatures are shown as they are written in the source,
because evaluated annotations differ from one version of Python to the next.
"""

import ast
import dataclasses
import importlib
import inspect
import itertools
import pkgutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from tilth.errors import MissingExtra

ROOT = Path(__file__).parent.parent
STUB = ROOT / "src" / "tilth" / "__init__.pyi"
PAGES = ROOT / "docs" / "reference"

MODULES = (
    "tilth.drawing",
    "tilth.errors",
    "tilth.patterns",
    "tilth.protocols",
    "tilth.qualify",
    "tilth.scramble",
    "tilth.selectors",
    "tilth.signals",
    "tilth.synthesis",
    "tilth.testing",
)
"""Public, with names that are not (all) in `tilth` itself: the catalogue of signals, what a drawing is made of, and
what those import who write a part of their own or catch an error."""

INTRO = """\
# Reference

What each public name does, takes and returns. These pages are made from the docstrings by `make docs`: edit those.
To learn from the beginning, look in [tutorial](../tutorial/README.md); to get one thing done, in
[how-to](../how-to/README.md).
"""


def exports(stub: str) -> dict[str, str]:
    """Return the public names that a lazy stub declares, each with the module that it comes from."""
    found: dict[str, str] = {}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            module = f"tilth.{node.module}" if node.module else "tilth"
            found |= {alias.asname or alias.name: module for alias in node.names}
    return found


def public() -> dict[str, dict[str, Any]]:
    """Return the objects to describe by name for each page, without modules whose extra is missing."""
    pages: dict[str, dict[str, Any]] = {}
    for name, module in exports(STUB.read_text()).items():
        page = ".".join(module.split(".")[:2])
        pages.setdefault(page, {})[name] = getattr(importlib.import_module(module), name)
    integrations = importlib.import_module("tilth.integrations")
    leaves = [f"tilth.integrations.{leaf.name}" for leaf in pkgutil.iter_modules(integrations.__path__)]
    for module in [*MODULES, *leaves]:
        if (find_spec(module) is None) or module.rpartition(".")[2].startswith("_"):
            continue
        try:
            loaded = importlib.import_module(module)
        except MissingExtra as why:
            print(f"left as it is: the page of {module} ({why})")
            continue
        pages.setdefault(module, {}).update({name: getattr(loaded, name) for name in loaded.__all__})
    return pages


def fenced(doc: str) -> str:
    """Return a docstring as Markdown, with its examples in code blocks."""
    lines: list[str] = []
    inside = False
    for line in [*doc.splitlines(), ""]:
        if not inside and line.lstrip().startswith(">>> "):
            lines.append("```python")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join(lines).rstrip()


def definition(thing: Any) -> Any:
    """Return the syntax tree of a function or class."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def signature(name: str, function: Any) -> str:
    """Return how a function is called, in the words of its source and without `self` or `cls`."""
    node = definition(function)
    for kind in (node.args.posonlyargs, node.args.args):
        if kind and kind[0].arg in ("self", "cls"):
            del kind[0]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return wrapped(f"{name}({ast.unparse(node.args)}){returns}")


def wrapped(line: str) -> str:
    """Return a signature in a Markdown code block, broken where it is too long for a page."""
    options = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "    "}
    return f"```python\n{textwrap.fill(line, 100, **options)}\n```"


def fields(name: str, cls: type) -> str:
    """Return how a dataclass is made, in the words of its source."""
    node = definition(cls)
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    declared = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) in known]
    return wrapped(f"{name}({', '.join(declared)})")


def members(cls: type) -> Iterator[str]:
    """Yield a section for each public method and property that the class or a part of it in its package defines."""
    package = cls.__module__.rpartition(".")[0]
    parts = [part for part in cls.__mro__ if part is cls or part.__module__.rpartition(".")[0] == package]
    found = {name: member for part in reversed(parts) for name, member in vars(part).items()}
    for name, member in found.items():
        target = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(target) or not target.__doc__:
            continue
        call = "" if isinstance(member, property) else f"\n\n{signature(name, target)}"
        yield f"### {cls.__name__}.{name}{call}\n\n{fenced(inspect.getdoc(target) or '')}"


def told(name: str, module: ModuleType) -> str:
    """Return what the string below a value in its module says of it."""
    body = ast.parse(inspect.getsource(module)).body
    for node, after in itertools.pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if name in [ast.unparse(target) for target in targets] and isinstance(after, ast.Expr):
            return str(ast.literal_eval(after.value))
    return ""


def section(name: str, thing: Any, module: ModuleType) -> str:
    """Return the part of a page that describes one public name of a module."""
    parts = [f"## {name}"]
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing):
            parts.append(fields(name, thing))
        # typing gives every Protocol an __init__ of its own, which says nothing.
        elif getattr(vars(thing).get("__init__"), "__module__", None) == thing.__module__:
            parts.append(signature(name, vars(thing)["__init__"]).replace(" -> None", ""))
        parts += [fenced(inspect.getdoc(thing) or ""), *members(thing)]
    elif inspect.isfunction(inspect.unwrap(thing)):
        parts += [signature(name, inspect.unwrap(thing)), fenced(inspect.getdoc(thing) or "")]
    elif type(thing).__module__.startswith("tilth."):
        parts += [f"A value of type `{type(thing).__name__}`.", told(name, module)]
    else:
        parts.append(f"`{thing!r}`")
    return "\n\n".join(part for part in parts if part)


def page(module: ModuleType, things: Mapping[str, Any]) -> str:
    """Return the page of one module: what it is, then its public names in alphabetical order."""
    sections = [section(name, things[name], module) for name in sorted(things, key=str.lower)]
    return "\n\n".join([f"# {module.__name__}", fenced(inspect.getdoc(module) or ""), *sections]) + "\n"


def render() -> dict[str, str]:
    """Return the text of all pages by file name."""
    pages: dict[str, str] = {}
    rows = ["| page | what it is | names |", "|---|---|---|"]
    for name, things in sorted(public().items()):
        module = importlib.import_module(name)
        file = f"{name.removeprefix('tilth.')}.md"
        pages[file] = page(module, things)
        first = (inspect.getdoc(module) or "").partition("\n")[0]
        rows.append(f"| [{name}]({file}) | {first} | {', '.join(f'`{n}`' for n in sorted(things, key=str.lower))} |")
    pages["README.md"] = INTRO + "\n" + "\n".join(rows) + "\n"
    return pages


def stale(pages: Mapping[str, str], folder: Path) -> list[str]:
    """Return the names of the pages in `folder` that are missing, differ, or belong to nothing any more."""
    differ = [n for n, text in pages.items() if not (folder / n).is_file() or (folder / n).read_text() != text]
    modules = {n.removesuffix(".md") for n in pages}
    # A module that cannot be imported here has no page in `pages`, but still has a spec.
    gone = [f.name for f in folder.glob("*.md") if f.stem not in modules and find_spec(f"tilth.{f.stem}") is None]
    return sorted([*differ, *gone])


def main(*, check: bool) -> int:
    """Write the pages, or only compare them; return the exit status."""
    pages = render()
    old = stale(pages, PAGES)
    if check:
        if old:
            print(f"docs/reference differs from the docstrings in {', '.join(old)}; run: make docs")
        return 1 if old else 0
    for name in old:
        if name in pages:
            (PAGES / name).write_text(pages[name])
        else:
            (PAGES / name).unlink()
    print(f"docs/reference: {len(pages)} pages, {len(old)} of them new or changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
