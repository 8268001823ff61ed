"""The pool of warm child processes: jobs, frames, limits."""
