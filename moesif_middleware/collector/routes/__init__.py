"""The HTTP calls, one module per group."""
