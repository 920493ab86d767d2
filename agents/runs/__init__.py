"""What a run leaves in its folder, and reading it again. What its pictures look like is in `pictures`."""

__all__: list[str] = []
