"""The collector: a real server on a free port."""
