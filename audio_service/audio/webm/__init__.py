"""WebM read forward, chunk by chunk."""
