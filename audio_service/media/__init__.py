"""The library: what a media record is, and where records are kept."""
