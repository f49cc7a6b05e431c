"""The demo: on real digits with wrong and missing labels, what is work on the data worth beside work on the model?"""

from tilth.demo.main import demo

__all__ = ["demo"]
