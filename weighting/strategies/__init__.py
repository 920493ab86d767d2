"""The strategies, one file each (the Gramian rules share two). What they all share is one floor up."""

__all__: list[str] = []
