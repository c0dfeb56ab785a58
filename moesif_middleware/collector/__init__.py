"""The self-hosted Collector and Management API, and its page."""
