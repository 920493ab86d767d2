"""The Gram matrix of the objectives' gradients, how it is computed. Weights from it are in `strategies`."""

__all__: list[str] = []
