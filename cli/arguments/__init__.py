"""Reading command lines and settings files. What a command does is in the file of its name, one floor up."""

__all__: list[str] = []
