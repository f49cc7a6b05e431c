"""Drawings of workflows: all that is in the workflow is there, nothing overlaps or overflows, nothing can run."""

import html
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from tilth.actions import annotate, relabel, remove
from tilth.cli.app import app
from tilth.dataset import Dataset
from tilth.drawing import STATES, Drawing, Edge, Frame, Graph, Node
from tilth.drawing.text import width
from tilth.errors import UsageError
from tilth.html import clean
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling import Oracle, Panel, Team, disagrees_with_model
from tilth.metrics import accuracy, labels_spent, recall, rounds
from tilth.rules import Gate, Rule
from tilth.selectors import labeled, records, unlabeled
from tilth.signals import label_quality, margin, novelty
from tilth.tuning import Tune
from tilth.workflow import Workflow
from tools.drawings import picture

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "]]><style>*{display:none}</style>",
    "'&quot;&#0;\x00\x1b[2J\u202eevil\u2028",
    "${jndi:x} {{7*7}} javascript:alert(1)",
]
Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass(frozen=True)
class Odd:
    """Something that changes the model, and says of itself what it likes."""

    says: str

    @property
    def spec(self) -> Mapping[str, Any]:
        return {"tuner": "tests.test_drawing:Odd", "says": self.says}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Odd":
        return cls(spec["says"])

    def suggest(self, tried: Any, *, seed: int) -> None:
        return None

    def __repr__(self) -> str:
        return self.says


@dataclass
class Seen:
    """What an SVG shows, in its own coordinates."""

    nodes: dict[str, Box] = field(default_factory=dict[str, Box])
    frames: dict[str, Box] = field(default_factory=dict[str, Box])
    texts: dict[str, list[Box]] = field(default_factory=dict[str, list[Box]])
    edges: list[tuple[str, str, list[tuple[float, float]]]] = field(default_factory=list)
    labels: list[Box] = field(default_factory=list[Box])
    states: dict[str, str] = field(default_factory=dict[str, str])


def seen(svg: str) -> Seen:
    """Read an SVG as a program that knows nothing of Tilth's layout."""
    root = ElementTree.fromstring(svg)
    out = Seen()
    for group in root.iter(f"{SVG}g"):
        kind = (group.get("class") or "").split(" ")[0]
        if kind in ("node", "frame"):
            name = group.attrib["data-node"]
            x, y = numbers(group.attrib["transform"])
            box = next(part for part in group if part.get("class") == "box")
            if box.tag == f"{SVG}rect":
                w, h = float(box.attrib["width"]), float(box.attrib["height"])
            else:
                w, h = (max(points[i] for points in sampled(box.attrib["d"])) for i in (0, 1))
            (out.nodes if kind == "node" else out.frames)[name] = (x, y, x + w, y + h)
            out.states[name] = group.attrib["data-state"]
            out.texts[name] = [text_box(text, x, y) for text in group.findall(f"{SVG}text")]
        elif kind == "edge":
            path = next(part for part in group if part.tag == f"{SVG}path" and part.get("class") is None)
            out.edges.append((group.attrib["data-from"], group.attrib["data-to"], list(sampled(path.attrib["d"]))))
            out.labels += [text_box(text, 0, 0, middle=True) for text in group.findall(f"{SVG}text")]
    return out


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text)]


def text_box(text: ElementTree.Element, dx: float, dy: float, *, middle: bool = False) -> Box:
    size = float(text.attrib["font-size"])
    style = text.attrib["class"]
    face: Any = "mono" if style == "code" else "bold" if style in ("head", "title") else "sans"
    wide = width(text.text or "", size, face)
    x, y = float(text.attrib["x"]) + dx - (wide / 2 if middle else 0), float(text.attrib["y"]) + dy
    return x, y - 0.8 * size, x + wide, y + 0.25 * size


def sampled(d: str) -> Iterator[tuple[float, float]]:
    """Yield points of a path of M, L, H, V, Q and C, close to each other."""
    here = (0.0, 0.0)
    for command, rest in re.findall(r"([MLHVQCZ])([^MLHVQCZ]*)", d):
        values = numbers(rest)
        if command in "HV":
            values = [values[0], here[1]] if command == "H" else [here[0], values[0]]
        points = [here, *zip(values[::2], values[1::2], strict=True)]
        if command == "M":
            here = points[1]
        elif command != "Z":
            t = np.linspace(0, 1, 40)[:, None]
            level = [np.array([point]) for point in points]
            while len(level) > 1:  # de Casteljau
                level = [a + (b - a) * t for a, b in pairwise(level)]
            yield from map(tuple, level[0].tolist())
            here = points[-1]
        yield here


def overlap(a: Box, b: Box, *, by: float = 0.5) -> bool:
    return a[0] + by < b[2] and b[0] + by < a[2] and a[1] + by < b[3] and b[1] + by < a[3]


def crosses(points: list[tuple[float, float]], box: Box) -> bool:
    x, y = np.array(points).T
    return bool(((box[0] + 1 < x) & (x < box[2] - 1) & (box[1] + 1 < y) & (y < box[3] - 1)).any())


def within(inner: Box, outer: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def check(drawing: Drawing) -> Seen:
    """Look at all that is promised of every drawing."""
    found, graph = seen(drawing.svg), drawing.graph
    assert set(found.nodes) == {clean(n.id) for n in graph.nodes}
    assert set(found.frames) == {clean(f.id) for f in graph.frames}
    assert sorted((a, b) for a, b, _ in found.edges) == sorted((clean(e.source), clean(e.target)) for e in graph.edges)
    home = {clean(n.id): n.frame and clean(n.frame) for n in graph.nodes}
    for (one, a), (two, b) in combinations(found.nodes.items(), 2):
        assert not overlap(a, b), (one, two)
    for (one, a), (two, b) in combinations(found.frames.items(), 2):
        assert not overlap(a, b), (one, two)
    for name, box in found.nodes.items():
        for frame, outer in found.frames.items():
            assert within(box, outer) if home[name] == frame else not overlap(box, outer), (name, frame)
    for name, texts in found.texts.items():
        assert texts
        for text in texts:
            assert within(text, (found.nodes | found.frames)[name]), name
        for a, b in combinations(texts, 2):
            assert not overlap(a, b, by=2), name
    for source, target, points in found.edges:
        for name, box in found.nodes.items():
            assert not crosses(points, box), (source, target, name)
        for name, box in found.frames.items():
            if name not in (source, target, home.get(source), home.get(target)):
                assert not crosses(points, box), (source, target, name)
    for label in found.labels:
        assert not any(overlap(label, box) for box in found.nodes.values()), label
    for a, b in combinations(found.labels, 2):
        assert not overlap(a, b, by=3), (a, b)
    size = ElementTree.fromstring(drawing.svg).attrib
    whole = (0.0, 0.0, float(size["width"]), float(size["height"]))
    for box in [*found.nodes.values(), *found.frames.values(), *found.labels]:
        assert within(box, whole)
    for _, _, points in found.edges:
        assert all(0 <= x <= whole[2] and 0 <= y <= whole[3] for x, y in points)
    return found


# -- workflows --------------------------------------------------------------------------------------------------------


def make_dataset(folder: Path, name: str = "digits") -> Dataset:
    n = 30
    return Dataset.create(
        folder / name,
        {
            "x": np.arange(n * 2, dtype=np.float32).reshape(n, 2),
            "truth": np.array(["cat", "dog"], object)[np.arange(n) % 2],
            "label": np.array(["cat", "dog", None], object)[np.arange(n) % 3],
        },
        label="label", hidden=["truth"], durability="process",
    )  # fmt: skip


@pytest.fixture
def _fresh_modules() -> Iterator[None]:
    # workflow files are imported by the name of their file
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name == "drawn_workflow" or name.startswith("readme_"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("drawing"))


PANELS = [
    Panel(Team("crowd"), votes=2, check=disagrees_with_model(), disputed_by=Team("expert"), budget=500),
    Panel(Oracle("truth"), name="second"),
    Panel(Team("crowd"), check=label_quality() < 0.5, patience="2d", gold=0.1, name="second"),
    Panel(Team("crowd"), disputed_by=Team("lead"), consensus="dawid_skene", name="x" * 50),
]
ASK = Rule(select=unlabeled.top(100, by=margin()), do=annotate(by=Oracle("truth")))
FIX = Rule(
    select=labeled.where(label_quality() < 0.5).bottom(50, by=label_quality()), do=relabel(by="probe"), gate=Gate()
)


def workflow(dataset: Dataset, rules: Mapping[str, Rule], **more: Any) -> Workflow:
    more = {"until": (accuracy() >= 0.95) | (labels_spent() >= 2_000)} | more
    return Workflow(dataset=dataset, model=SklearnModel(LogisticRegression()), rules=rules, **more)


ACTIONS = st.one_of(
    st.just(annotate(by=Oracle("truth"))),
    st.builds(
        lambda name: annotate(by=Team(name)), st.sampled_from(["crowd", "注释团队", "a team of a long name" * 4])
    ),
    st.sampled_from(PANELS).map(lambda panel: annotate(by=panel)),
    st.sampled_from(PANELS).map(lambda panel: relabel(by=panel)),
    st.just(remove()),
    st.just(remove(approve=Team("lead"))),
)
RULES = st.builds(
    lambda select, do, when, gated: Rule(
        select=select, do=do, when=when, gate=Gate(by=0.01, rejected="hold" if do.asks else "revert") if gated else None
    ),
    st.sampled_from([
        records.sample(3),
        unlabeled.top(100, by=margin()),
        (unlabeled.where(predicted="cat").top(500, by=margin()) & unlabeled.top(500, by=novelty())).diverse(100),
    ]),
    ACTIONS,
    st.sampled_from([None, recall("cat") < 0.9, (recall("a class of a long name, spaces") < 0.9) & (rounds() > 2)]),
    st.booleans(),
)  # fmt: skip
NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=("Cs",)), min_size=1, max_size=45)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "every": st.just("1h"),
        "trigger": st.just(labels_spent() >= 500),
        "tune": st.sampled_from(["optuna", "<b>" * 30]).map(lambda says: Tune(Odd(says))),
        "until": st.just(rounds() >= 3),
        "gate": st.just(Gate(by=0.01, rejected="hold")),
    },
)


@given(rules=st.dictionaries(NAMES, RULES, max_size=6), more=MORE, direction=st.sampled_from(["right", "down"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_workflow_is_drawn_whole_and_clear(
    dataset: Dataset, rules: dict[str, Rule], more: dict[str, Any], direction: Any
) -> None:
    made = workflow(dataset, rules, **more)
    drawing = made.draw(direction=direction)
    graph = drawing.graph
    nodes = {n.id: n for n in graph.nodes}
    assert set(graph.ids) >= {"dataset", "train", "evaluate", "until", "done", "model"}
    edges = {(e.source, e.target): e for e in graph.edges}
    chain = [(f"rule:{name}", f"gate:{name}" if rule.gate is not None else "") for name, rule in rules.items()]
    for rule, gate in chain:
        assert not gate or (edges[rule, gate].kind == "forward" and edges[gate, rule].kind == "back")
    for (rule, gate), (after, _) in pairwise(chain):
        assert (gate or rule, after) in edges
    for name, rule in rules.items():
        rows = dict(nodes[f"rule:{name}"].rows)
        assert rows["select"] == repr(rule.select)
        assert (rows.get("when") == repr(rule.when)) if rule.when is not None else ("when" not in rows)
        panels = [value for value in rule.walk() if isinstance(value, Panel)]
        asked = [e for e in graph.edges if e.source == f"rule:{name}" and e.target.startswith("panel:")]
        assert len(asked) == len(panels)
    assert ("entry" in nodes) == bool({"every", "trigger"} & set(more))
    assert ("tune" in nodes) == ("tune" in more)
    assert ("gate" in nodes) == ("gate" in more and bool(rules))
    if "gate" in nodes:
        assert dict(nodes["gate"].rows)[""] == repr(made.gate)
        assert (chain[-1][1] or chain[-1][0], "gate") in edges
        assert edges["gate", chain[0][0]].kind == "back"
    ends = [e for e in graph.edges if e.target == "train" and e.kind == "back"]
    assert len(ends) == bool(rules or "tune" in more)
    assert json.loads(json.dumps(graph.to_json())) == graph.to_json()
    assert drawing.svg == workflow(dataset, rules, **more).draw(direction=direction).svg
    check(drawing)


def test_a_panel_that_two_rules_share_is_drawn_once(dataset: Dataset) -> None:
    one, two = PANELS[0], PANELS[1]
    rules = {
        "ask": Rule(select=unlabeled.sample(3), do=annotate(by=one)),
        "again": Rule(select=labeled.sample(3), do=relabel(by=one)),
        "other": Rule(select=labeled.sample(3), do=relabel(by=two)),
    }
    for direction in ("right", "down"):
        drawing = workflow(dataset, rules).draw(direction=direction)
        check(drawing)
        assert [f.id for f in drawing.graph.frames] == ["model", "rules", "panel:panel", "panel:second"]
        assert [(e.source, e.target) for e in drawing.graph.edges if e.target == "panel:panel"] == [
            ("rule:ask", "panel:panel"),
            ("rule:again", "panel:panel"),
        ]
    inside = {n.id: n for n in drawing.graph.inside("panel:panel")}
    stages = ["first", "check", "second", "consensus", "expert", "labels"]
    assert list(inside) == [f"panel:panel/{stage}" for stage in stages]
    edges = {(e.source.rpartition("/")[2], e.target.rpartition("/")[2], e.label) for e in drawing.graph.edges}
    assert {("check", "second", "yes"), ("check", "consensus", "no"), ("consensus", "expert", "disputed")} <= edges
    assert [n.id for n in drawing.graph.inside("panel:second")] == [
        "panel:second/first", "panel:second/consensus", "panel:second/labels",
    ]  # fmt: skip


def test_people_look_different_from_a_program(dataset: Dataset) -> None:
    rules = {
        "oracle": ASK,
        "people": Rule(select=unlabeled.sample(3), do=annotate(by=Team("crowd"))),
        "approved": Rule(select=labeled.sample(3), do=remove(approve=Team("lead"))),
        "panel": Rule(select=labeled.sample(3), do=relabel(by=PANELS[0])),
        "fix": FIX,
    }
    kinds = {n.title: n.kind for n in workflow(dataset, rules).draw().graph.nodes if n.frame == "rules"}
    people = {"people", "approved", "panel"}
    assert {name for name, kind in kinds.items() if kind == "question"} == people
    svg = workflow(dataset, rules).draw().svg
    assert svg.count('class="node question"') == 3


def test_what_the_rules_read_of_the_model_is_named(dataset: Dataset) -> None:
    edges = [e for e in workflow(dataset, {"ask": ASK, "fix": FIX}).draw().graph.edges if e.kind == "data"]
    assert edges == [Edge("evaluate", "rules", "probabilities, probe probabilities", "data")]
    blind = {"weed": Rule(select=records.sample(3), do=remove())}
    assert not [e for e in workflow(dataset, blind).draw().graph.edges if e.kind == "data"]


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(dataset: Dataset, evil: str) -> None:
    name = evil.replace("/", "")
    rule = Rule(when=recall(evil) < 0.5, select=records.where(label=[evil]), do=annotate(by=Team("crowd", guide=evil)))
    made = workflow(dataset, {name: rule}, tune=Tune(Odd(evil)))
    for direction in ("right", "down"):
        drawing = made.draw(direction=direction)
        check(drawing)
        root = ElementTree.fromstring(drawing.svg)
        tags = {part.tag.removeprefix(SVG) for part in root.iter()}
        assert tags == {"svg", "title", "desc", "style", "rect", "g", "path", "circle", "text"}
        names = {key for part in root.iter() for key in part.attrib}
        assert not [key for key in names if key.startswith("on") or "href" in key or key == "src"]
        style = "".join(part.text or "" for part in root.iter(f"{SVG}style"))
        assert "url(" not in style
        assert "@import" not in style
        assert len([*root.iter(f"{SVG}style")]) == 1
        shown = "".join(part.text or "" for part in root.iter())
        assert not [c for c in shown if not c.isprintable() and c != "\n"]
        assert "<script" not in drawing.svg.lower()
    page = made._repr_html_()
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()


def test_it_says_what_it_shows_to_those_who_cannot_see_it(dataset: Dataset) -> None:
    root = ElementTree.fromstring(workflow(dataset, {"ask": ASK}).draw(states={"rule:ask": "waiting"}).svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Workflow on digits"
    assert root.findtext(f"{SVG}title") == "Workflow on digits"
    said = root.findtext(f"{SVG}desc") or ""
    assert "rule ask (waiting for people): select unlabeled.top(100, by=margin()); do annotate" in said
    for group in root.iter(f"{SVG}g"):
        if group.get("data-node"):
            assert group.findtext(f"{SVG}title")


def test_states_light_nodes_up(dataset: Dataset) -> None:
    made = workflow(dataset, {"ask": ASK, "fix": FIX})
    states = dict(zip(made.draw().graph.ids, STATES * 3, strict=False))
    drawing = made.draw(states=states)
    assert check(drawing).states == states
    assert set(check(made.draw()).states.values()) == {"idle"}
    for state in set(STATES) - {"idle"}:
        assert f"[data-state={state}]" in drawing.svg  # looks are by attribute: a page may change it
    idle, lit = (
        re.sub(r'data-state="[^"]*"|<title>.*?</title>|<desc>.*?</desc>', "", d.svg, flags=re.DOTALL)
        for d in (made.draw(), drawing)
    )
    assert idle == lit
    with pytest.raises(UsageError, match=r"no node 'rule:akk'.*Did you mean 'rule:ask'\?"):
        made.draw(states={"rule:akk": "done"})
    with pytest.raises(UsageError, match=r"node 'train' is 'runing'.*Did you mean 'running'\?"):
        made.draw(states={"train": "runing"})
    with pytest.raises(UsageError, match=r"direction='left'.*There is: right, down"):
        made.draw(direction="left")


def test_colours_can_be_read_in_light_and_in_dark(dataset: Dataset) -> None:
    svg = workflow(dataset, {"ask": ASK}).draw().svg
    colours = {n: (a, b) for n, a, b in re.findall(r"--tilth-([a-z-]+):light-dark\((#\w{6}),(#\w{6})\)", svg)}
    grounds = ("paper", "frame", "card", "people-card")
    texts = ("ink", "soft", "model")
    assert len(colours) > 10
    for mode in (0, 1):
        for ground in grounds:
            for name in texts:
                assert contrast(colours[name][mode], colours[ground][mode]) >= 4.5, (name, ground, mode)
            for name in set(colours) - set(grounds) - {"line", "frame-line"}:
                assert contrast(colours[name][mode], colours[ground][mode]) >= 3, (name, ground, mode)


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


def test_many_rules_grow_the_drawing_as_their_number(dataset: Dataset) -> None:
    def made(n: int) -> Drawing:
        return workflow(dataset, {f"rule {i}": FIX if i % 2 else ASK for i in range(n)}).draw()

    few, many = made(10), made(40)
    check(many)
    assert len(many.graph.nodes) < 100
    assert len(many.svg) - len(few.svg) < 3.3 * (len(few.svg) - len(made(0).svg))


def test_long_texts_are_cut_and_stand_whole_in_the_title(dataset: Dataset) -> None:
    long = records.where(label=[f"a class of number {i}" for i in range(200)])
    drawing = workflow(dataset, {"weed": Rule(select=long, do=remove())}).draw()
    check(drawing)
    assert "…" in drawing.svg
    root = ElementTree.fromstring(drawing.svg)
    group = next(g for g in root.iter(f"{SVG}g") if g.get("data-node") == "rule:weed")
    assert repr(long) in (group.findtext(f"{SVG}title") or "")


def test_graphs_of_ones_own_can_be_drawn() -> None:
    nodes = [Node(name, "something new", name) for name in "abcdef"]
    pairs = ["ab", "ac", "bd", "cd", "ae", "ef", "df"]
    edges = [
        *(Edge(a, b) for a, b in pairs),
        Edge("a", "f", "far"),
        Edge("f", "a", "again", "back"),
        Edge("d", "b", "", "back"),
    ]
    frame = Frame("inside", "panel", "a frame")
    graph = Graph("mine", (*nodes, Node("g", "votes", "g", (), "inside")), (frame,), (*edges, Edge("f", "inside")))
    for direction in ("right", "down"):
        check(Drawing(graph, direction))
    with pytest.raises(UsageError, match=r"a.png: .* ends in \.svg"):
        Drawing(graph).save("a.png")


@pytest.mark.usefixtures("_fresh_modules")
def test_the_command_writes_a_picture_or_its_graph(tmp_path: Path) -> None:
    make_dataset(tmp_path)
    (tmp_path / "drawn_workflow.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n"
        "from tilth import *\n"
        "from tilth.integrations.sklearn import SklearnModel\n"
        f"workflow = Workflow(dataset=Dataset.open({str(tmp_path / 'digits')!r}), "
        "model=SklearnModel(LogisticRegression()), until=rounds() >= 3,\n"
        '    rules={"ask": Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=Team("crowd")))})\n'
    )

    def tilth(*args: object) -> Any:
        return CliRunner().invoke(app, ["draw", str(tmp_path / "drawn_workflow.py"), *map(str, args)])

    shown = tilth()
    assert shown.exit_code == 0, shown.stderr
    found = seen(shown.stdout)
    assert "rule:ask" in found.nodes
    assert tilth("-o", tmp_path / "loop.svg", "--direction", "down").exit_code == 0
    down = seen((tmp_path / "loop.svg").read_text(encoding="utf-8"))
    assert down.nodes["rule:ask"][1] > down.nodes["done"][3]
    graph = json.loads(tilth("--json").stdout)
    assert {n["id"] for n in graph["nodes"]} == set(found.nodes)
    assert {(e["source"], e["target"]) for e in graph["edges"]} == {(a, b) for a, b, _ in found.edges}
    assert tilth("-o", tmp_path / "loop.png").exit_code == 2


@pytest.mark.usefixtures("_fresh_modules")
def test_the_picture_in_the_docs_is_that_of_the_readme() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    drawn = (ROOT / "docs" / "loop.svg").read_text(encoding="utf-8")
    assert drawn == picture(page), "run: make docs"
    assert drawn != picture(page.replace("unlabeled.top(100", "unlabeled.top(99"))


# -- in a browser -----------------------------------------------------------------------------------------------------

MEASURE = """
const out = [];
for (const node of document.querySelectorAll('.node, .frame')) {
  const box = node.querySelector('.box').getBBox();
  for (const text of node.querySelectorAll(':scope > text')) {
    const t = text.getBBox();
    out.push([node.dataset.node, text.textContent, t.x - box.x, box.x + box.width - t.x - t.width,
              t.y - box.y, box.y + box.height - t.y - t.height]);
  }
}
document.body.innerHTML = '<pre id="out"></pre>';
document.getElementById('out').textContent = JSON.stringify(out);
"""


@pytest.mark.browser
def test_no_text_overflows_its_box_in_a_browser(dataset: Dataset, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    names = [
        "W" * 40,
        "a rule",
        "שלום עולם",
        "قاعدة الأسئلة",
        "标注数据的规则",
        "🙂 emoji 🦊",
        "ไทย ภาษา",
        "﷽ ⸻ wide",
        "ЩЮЖ ΩΣ ǅ",
    ]
    rules = {
        name: Rule(select=records.where(label=[name]), do=annotate(by=PANELS[i % 4])) for i, name in enumerate(names)
    }
    made = workflow(dataset, rules | {"fix": FIX}, every="1h", tune=Tune(Odd("@" * 60)))
    svgs = "".join(made.draw(direction=direction).svg for direction in ("right", "down"))
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{svgs}<script>{MEASURE}</script>", encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run([*command, "--dump-dom", str(page)], capture_output=True, text=True, timeout=120).stdout
    told = re.search(r'<pre id="out">(.*?)</pre>', dom, re.DOTALL)
    assert told is not None, dom[:500]
    measured = json.loads(html.unescape(told.group(1)))
    assert len(measured) > 100
    assert [row for row in measured if min(row[2:]) < 0] == []
