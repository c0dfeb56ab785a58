"""Typical uses of the public types, read by mypy --strict and never run. A wrong use must be an error there too."""
