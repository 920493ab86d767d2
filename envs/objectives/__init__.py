"""Objectives, from texts to scores in [0, 1], and objectives made of others. Comparing answers is in `judging`."""

__all__: list[str] = []
