"""Policies, language models and small networks: making, loading, adapting, sharding. Training is in `updates`."""

__all__: list[str] = []
