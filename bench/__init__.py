"""Side-by-side benchmarks; each prints a ratio. See bench/README.md."""
