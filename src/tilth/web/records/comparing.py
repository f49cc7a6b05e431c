"""."""

ROUTES = ()
