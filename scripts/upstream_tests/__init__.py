"""Runs the tests of Starlette, Flask, Django and others with the middleware around every application they build.

``__main__`` is the command, ``suites`` the table of what is run, ``workplace`` makes directories and environments and
starts the runs, ``comparison`` says what changed. ``record``, ``probe``, ``django_settings`` and ``django_runner`` run
inside the suites' own environments, under names that begin with ``upstream_``.
"""
