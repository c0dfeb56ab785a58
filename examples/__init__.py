"""One runnable file per framework, each run by the tests."""
