"""Drawing responses from a language model, one file a sampler. Stepped environments are walked in `tasks`."""

__all__: list[str] = []
