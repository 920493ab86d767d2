"""The files that a benchmark ends up with: tables, pictures, a page. The numbers in them come from `statistics`."""

__all__: list[str] = []
