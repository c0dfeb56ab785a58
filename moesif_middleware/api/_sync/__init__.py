# Generated from _async/__init__.py by python -m scripts.unasync; do not edit.
"""The clients for code that waits."""
