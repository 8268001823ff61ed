"""One file per use case; each is one async function that reads from top to bottom."""
