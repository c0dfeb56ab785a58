"""Typed clients for the Collector API and the Management API, sync and async."""
