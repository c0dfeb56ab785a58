"""How hypothesis looks for examples: the same ones each time as a gate, others each time with a profile of its own."""

from hypothesis import settings

# How long an example takes is the machine's load; what has a bound in time is measured in a test of its own.
settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
# ``pytest --hypothesis-profile=search`` looks further than the last time, and keeps what it finds.
if settings.get_current_profile_name() not in {"gate", "search"}:
    settings.load_profile("gate")
