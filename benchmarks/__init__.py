"""Measurements for people to read: what a request costs, delivery under load, the collector's intake and searches."""
