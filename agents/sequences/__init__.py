"""What was written, and scoring it: tokens, steps, their batches and log-probabilities. No policy is here."""

__all__: list[str] = []
