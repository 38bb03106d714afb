"""The pure core: no clock, socket, thread, file, log or random number in it."""
