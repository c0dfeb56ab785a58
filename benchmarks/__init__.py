"""The overhead suite against other middlewares, and the delivery suite."""
