"""Every picture, drawn from data that it is given. Nothing here reads a run folder."""

__all__: list[str] = []
