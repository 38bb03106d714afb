"""A node in the browser: a process of its own that listens at the broker as any client would."""
