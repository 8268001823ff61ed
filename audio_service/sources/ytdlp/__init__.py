"""yt-dlp: what runs in a child process."""
