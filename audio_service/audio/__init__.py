"""Audio work: synchronous, PyAV and files in, files and numbers out. No event loop, no network, no cloud."""
