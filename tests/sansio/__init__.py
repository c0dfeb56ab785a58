"""Tests of the pure core: values only."""
