"""What all tests share."""

from hypothesis import settings

pytest_plugins = ["tests.postgres"]

# derandomize: a build that fails must fail again when it is repeated. No deadline: how long an example takes says more
# about who else uses the machine than about the code.
settings.register_profile("tilth", derandomize=True, deadline=None)
settings.load_profile("tilth")

pytest_plugins = ["tests.postgres"]
