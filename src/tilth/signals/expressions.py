r"""The small language of slices: a condition on a record's columns as a text, read by a grammar of our own.

```
any    = all { "|" all }
all    = one { "&" one }
one    = "~" one | "(" any ")" | test
test   = column ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) value
       | column "in" "(" value { "," value } ")"
       | column "is" "missing"
column = word | "`" name "`" | "cluster" "(" number ")"
value  = number | "'" text "'" | '"' text '"'
```

A backslash in a text takes the next character as it is, except `\n`, `\r` and `\t`; a backquote in a name is written
twice. What is missing is neither in a slice nor in its complement; only `is missing` knows it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.errors import UsageError, did_you_mean

__all__ = ["Both", "Not", "Node", "Term", "Test", "check", "decide", "literal", "parse", "quoted", "terms"]

Flags = npt.NDArray[np.bool_]

DEEPEST = 100
"""Brackets inside brackets: Python's own stack ends at some ten times as many."""
ORDERED = ("<", "<=", ">", ">=")
EQUAL = ("==", "!=")
KINDS = ("text", "number", "integer")
"""Kinds of columns that can be compared."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])"""
    r"""|(?P<word>[^\W\d]\w*)|`(?P<name>(?:[^`]|``)+)`"""
    r"""|'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)\""""
    r"""|(?P<sign><=|>=|==|!=|[<>&|~(),])|(?P<end>\Z))""",
    re.DOTALL,
)
_MEANT = {"=": "==", "and": "&", "or": "|", "not": "~", "&&": "&", "||": "|", "<>": "!=", "!": "~"}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True)
class Term:
    """What is compared: a column, or (where `clusters` is not 0) the cluster that a record's embedding lies in."""

    name: str
    at: int
    clusters: int = 0


@dataclass(frozen=True)
class Test:
    """One comparison; `op` is a sign, "in" or "missing"."""

    term: Term
    op: str
    values: tuple[str | float, ...] = ()


@dataclass(frozen=True)
class Not:
    """What the other does not hold for."""

    inner: "Node"


@dataclass(frozen=True)
class Both:
    """Two put together by & or |."""

    op: str
    left: "Node"
    right: "Node"


Node = Test | Not | Both


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """Read a text; UsageError shows the place where it stops making sense.

    >>> parse("age < 25")
    Test(term=Term(name='age', at=0, clusters=0), op='<', values=(25,))
    >>> parse("age < 25 &")
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: in_slice: expected a column, and the text ends here
        age < 25 &
                  ^
    """
    return _Reader(text).whole()


def terms(node: Node) -> Iterator[Term]:
    """Yield what a condition looks at, from left to right."""
    match node:
        case Test():
            yield node.term
        case Not():
            yield from terms(node.inner)
        case Both():
            yield from terms(node.left)
            yield from terms(node.right)


def quoted(name: str) -> str:
    """Return a column's name as it is written in a condition.

    >>> quoted("age"), quoted("hours per week")
    ('age', '`hours per week`')
    """
    return name if re.fullmatch(r"[^\W\d]\w*", name) else "`" + name.replace("`", "``") + "`"


def literal(value: str | float) -> str:
    r"""Return a value as it is written in a condition.

    >>> literal("it's"), literal(25.0), literal(0.5)
    ("'it\\'s'", '25', '0.5')
    """
    if isinstance(value, str):
        for plain, written in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
            value = value.replace(plain, written)
        return f"'{value}'"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def check(node: Node, text: str, kinds: Mapping[str, str]) -> None:
    """Raise UsageError where a column is not there, or is compared with what it cannot be equal to."""
    match node:
        case Not():
            check(node.inner, text, kinds)
        case Both():
            check(node.left, text, kinds)
            check(node.right, text, kinds)
        case Test():
            _check(node, text, kinds)


def _check(test: Test, text: str, kinds: Mapping[str, str]) -> None:
    name, at = test.term.name, test.term.at
    if test.term.clusters:
        kind, shown = "cluster", f"cluster({test.term.clusters})"
    else:
        if name in ("label", "predicted", "key", "split"):
            _stop(text, at, f"{name} is no column; write where({name}=...) beside in_slice(...)")
        if name not in kinds:
            _stop(text, at, f"no column {name!r}. {did_you_mean(name, kinds)}")
        kind, shown = kinds[name], f"column {name!r}"
        if kind not in KINDS:
            _stop(text, at, f"{shown} holds {kind}, which cannot be compared; these can: {', '.join(KINDS)}")
    if test.op == "missing":
        return
    if test.op in ORDERED and kind in ("text", "cluster"):
        which = "text" if kind == "text" else "the number of a cluster, which says nothing of its place"
        _stop(text, at, f"{shown} holds {which}; compare it by ==, != or in (...)")
    wrong = [v for v in test.values if isinstance(v, str) != (kind == "text")]
    if wrong:
        what = "text" if kind == "text" else "numbers"
        hint = f"; write {literal(str(wrong[0]))}" if kind == "text" else ""
        _stop(text, at, f"{shown} holds {what}, and {literal(wrong[0])} is none{hint}")


def decide(node: Node, rows: pa.Table, cluster: Callable[[int], npt.NDArray[np.int64]]) -> tuple[Flags, Flags]:
    """Return (yes, known), bool[m] each, for the rows of a table; `cluster(k)` gives int64[m], -1 = none."""
    match node:
        case Not():
            yes, known = decide(node.inner, rows, cluster)
            return known & ~yes, known
        case Both():
            (a, sure), (b, certain) = decide(node.left, rows, cluster), decide(node.right, rows, cluster)
            if node.op == "|":
                return a | b, (sure & certain) | a | b
            return a & b, (sure & certain) | (sure & ~a) | (certain & ~b)
        case Test():
            return _decide(node, rows, cluster)


def _decide(test: Test, rows: pa.Table, cluster: Callable[[int], npt.NDArray[np.int64]]) -> tuple[Flags, Flags]:
    if test.term.clusters:
        cells: Any = cluster(test.term.clusters)
        missing = cells < 0
    else:
        column = rows[test.term.name]
        missing = pc.is_null(column, nan_is_null=True).to_numpy()
        if test.op != "missing" and pa.types.is_large_string(column.type):
            # what is compared is text, by == != or in
            among = pc.is_in(column, value_set=pa.array(test.values, pa.large_string())).to_numpy()
            return (among != (test.op == "!=")) & ~missing, ~missing
        cells = None if test.op == "missing" else column.to_numpy()
    if test.op == "missing":
        return missing, np.ones(len(missing), bool)
    if test.op == "in":
        yes = np.logical_or.reduce([cells == value for value in test.values])
    else:
        yes = _COMPARE[test.op](cells, test.values[0])
    return yes & ~missing, ~missing


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.next, self.depth = text, list(_tokens(text)), 0, 0

    def whole(self) -> Node:
        node = self.either()
        if self.here.kind != "end":
            self.stop("expected & or |")
        return node

    @property
    def here(self) -> _Token:
        return self.tokens[self.next]

    def take(self, *signs: str) -> str | None:
        """Step over one of some signs and return it, None where another comes."""
        if self.here.kind not in ("sign", "word") or self.here.text not in signs:
            return None
        self.next += 1
        return self.tokens[self.next - 1].text

    def need(self, sign: str, what: str) -> None:
        if self.take(sign) is None:
            self.stop(f"expected {what}")

    def either(self) -> Node:
        node = self.both()
        while self.take("|"):
            node = Both("|", node, self.both())
        return node

    def both(self) -> Node:
        node = self.one()
        while self.take("&"):
            node = Both("&", node, self.one())
        return node

    def one(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.stop(f"more than {DEEPEST} brackets inside each other")
        if self.take("~"):
            node: Node = Not(self.one())
        elif self.take("("):
            node = self.either()
            self.need(")", "a closing bracket")
        else:
            node = self.test()
        self.depth -= 1
        return node

    def test(self) -> Node:
        term = self.term()
        if self.take("is"):
            self.need("missing", "missing")
            return Test(term, "missing")
        if self.take("in"):
            self.need("(", "a bracket, as in (1, 2)")
            values = [self.value()]
            while self.take(","):
                values.append(self.value())
            self.need(")", "a comma or a closing bracket")
            return Test(term, "in", tuple(values))
        op = self.take(*ORDERED, *EQUAL)
        if op is None:
            self.stop(f"expected {' '.join((*ORDERED, *EQUAL))}, in (...) or is missing")
        return Test(term, op, (self.value(),))

    def term(self) -> Term:
        token = self.here
        if token.kind not in ("word", "name"):
            known = token.kind in ("number", "text")
            self.stop("expected a column" + (", which stands before what it is compared with" if known else ""))
        self.next += 1
        if token.kind == "word" and token.text == "cluster" and self.take("("):
            count = self.value()
            if isinstance(count, str) or count < 2 or count != int(count):
                _stop(self.text, token.at, "cluster(k) == number takes a whole number of clusters of 2 or more")
            self.need(")", "a closing bracket")
            return Term("cluster", token.at, int(count))
        return Term(token.text, token.at)

    def value(self) -> str | float:
        token = self.here
        if token.kind not in ("number", "text"):
            quotes = ", and text stands in quotes" if token.kind in ("word", "name") else ""
            self.stop(f"expected a number or a text{quotes}")
        self.next += 1
        if token.kind == "text":
            return token.text
        return int(token.text) if re.fullmatch(r"[-+]?\d+", token.text) else float(token.text)

    def stop(self, what: str) -> NoReturn:
        token = self.here
        meant = _MEANT.get(token.text) if token.kind == "word" else None
        came = f"got {literal(token.text) if token.kind == 'text' else token.text}"
        tail = "and the text ends here" if token.kind == "end" else came
        _stop(self.text, token.at, f"{what}, {tail}{f'; write {meant}' if meant else ''}")


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            meant = next((_MEANT[sign] for sign in ("&&", "||", "<>", "=", "!") if text.startswith(sign, at)), None)
            ends = "; it is opened here and never closed" if text[at] in "'\"`" else ""
            _stop(text, at, f"cannot read {text[at]!r}{f'; write {meant}' if meant else ends}")
        kind = found.lastgroup or "end"
        start = found.start(kind) - (kind in ("name", "single", "double"))
        word = found[kind]
        if kind == "name":
            word = word.replace("``", "`")
        elif kind in ("single", "double"):
            kind, word = "text", re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), word, flags=re.DOTALL)
        yield _Token(kind, word, start)
        if kind == "end":
            return
        at = found.end()


def _stop(text: str, at: int, what: str) -> NoReturn:
    """Raise a UsageError that shows the line and the place in it."""
    start = text.rfind("\n", 0, at) + 1
    line = text[start:].split("\n", 1)[0]
    raise UsageError(f"in_slice: {what}\n    {line}\n    {' ' * (at - start)}^")
