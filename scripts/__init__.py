"""Generators and checks that are run by hand or in CI, each with --check where it writes files."""
