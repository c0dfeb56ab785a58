"""The clients as written, for asyncio. ``_sync`` is generated from this package by scripts/unasync.py."""
