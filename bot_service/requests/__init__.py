"""From what was asked to a song in the library or an open request, until its end."""
