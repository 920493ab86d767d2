"""Whether an environment keeps its contracts: `check_env`, a file for each kind of rules. No environment is here."""

__all__: list[str] = []
