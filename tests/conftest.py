"""What all tests share."""

import pytest
from hypothesis import settings

pytest_plugins = ["tests.postgres"]

# derandomize: a build that fails must fail again when it is repeated. No deadline: how long an example takes says more
# about who else uses the machine than about the code.
settings.register_profile("tilth", derandomize=True, deadline=None)
settings.load_profile("tilth")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long: where tests run side by side, none of them is left for the end."""
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("crash")}
    items.sort(key=lambda item: item.path not in long)
