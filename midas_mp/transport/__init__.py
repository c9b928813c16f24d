"""Floor 2, the streams: frames over TCP, socketpairs and within one process; the event loop."""
