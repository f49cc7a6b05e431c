"""Tilth: train a model, let its state decide which records to change and how, prove it helped, go round again.

Everything is loaded when it is first used, so that `import tilth` costs nothing. What a user needs is here; the rest is
in the modules.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

del lazy_loader
