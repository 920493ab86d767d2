"""Which runs a benchmark consists of, and having them run. What they came to is judged in `statistics`."""

__all__: list[str] = []
