"""Capture of the calls that the application itself makes, one module per HTTP library."""
