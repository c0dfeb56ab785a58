"""Settings for Django's own tests: its SQLite ones, a runner that records, and the middleware when it is asked for."""

from __future__ import annotations

import importlib
import os

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3"},
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False
TEST_RUNNER = "upstream_django_runner.Runner"
if "UPSTREAM_WRAPS" in os.environ:
    MOESIF_MIDDLEWARE = importlib.import_module("upstream_probe").handle()
