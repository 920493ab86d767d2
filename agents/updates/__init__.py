"""From advantages to a changed policy: losses, optimizer, comparing gradients. Weights: `paretune.weighting`."""

__all__: list[str] = []
