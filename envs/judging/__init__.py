"""Where a text states its answer, whether two are equal, who decides it. Scores are in `objectives`."""

__all__: list[str] = []
