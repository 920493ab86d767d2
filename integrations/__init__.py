"""Adapters that bring environments and weightings into other people's trainers; each module needs its own extra."""

__all__: list[str] = []
