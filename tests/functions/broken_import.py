"""A module that cannot be imported costs only its own functions."""

raise RuntimeError("not today")
