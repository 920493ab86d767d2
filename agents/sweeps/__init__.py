"""Many preferences, one archive. A grid of agents, weightings and seeds is in `paretune.bench`."""

__all__: list[str] = []
