"""A workflow as a picture: its graph, our own layout, one SVG for notebook, page, report and paper."""

from tilth.drawing.drawing import Drawing
from tilth.drawing.graph import STATES, Edge, Frame, Graph, Node
from tilth.drawing.recalling import recall

__all__ = ["STATES", "Drawing", "Edge", "Frame", "Graph", "Node", "recall"]
