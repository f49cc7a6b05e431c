"""Make records that do not exist yet: generators, and what decides which of the made ones are kept."""

from tilth.synthesis.chat import ChatEndpoint
from tilth.synthesis.interpolation import Interpolation
from tilth.synthesis.keeping import agrees, apart
from tilth.synthesis.mixture import Mixture
from tilth.synthesis.transforms import (
    Transforms,
    brightness,
    change_case,
    crop,
    drop_words,
    flip,
    gain,
    noise,
    rotate,
    shift,
    swap_words,
)

__all__ = [
    "ChatEndpoint",
    "Interpolation",
    "Mixture",
    "Transforms",
    "agrees",
    "apart",
    "brightness",
    "change_case",
    "crop",
    "drop_words",
    "flip",
    "gain",
    "noise",
    "rotate",
    "shift",
    "swap_words",
]
