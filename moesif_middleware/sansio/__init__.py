"""The pure core: values in, values out. No clock, socket, file, environment, randomness, thread or log."""
