"""Several processes that train one policy, and what launched them. Shards of a model are in `policies`."""

__all__: list[str] = []
