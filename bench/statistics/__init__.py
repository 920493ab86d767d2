"""From the outcomes of runs to what they say together. How that is shown is in `reports`."""

__all__: list[str] = []
