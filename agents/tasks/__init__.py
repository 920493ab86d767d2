"""What an agent trains on: an environment with the policy acting in it; evaluation. Samplers are in `sampling`."""

__all__: list[str] = []
