"""The command line, one file a command; `paretune --help` lists them, and reading what follows is in `arguments`.

In Python it is `paretune.cli.main.main(["train", "--steps", "10"])`, which returns the exit code.
"""

__all__: list[str] = []
