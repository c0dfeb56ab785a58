"""Tests of the pure core: values only."""

from hypothesis import settings

# How long an example takes is the machine's load; what has a bound in time is measured in a test of its own.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
