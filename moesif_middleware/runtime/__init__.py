"""The only code that starts threads, reads clocks, rolls dice and opens sockets."""
