"""Tasks that are written token by token, with exact Pareto fronts. Their form as text tasks is in `text`."""

__all__: list[str] = []
