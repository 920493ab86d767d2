"""Tasks whose action is a whole text, and where prompts come from. What a text scores is in `objectives`."""

__all__: list[str] = []
