"""How work is cut into parts that do not depend on each other."""
