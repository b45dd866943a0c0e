"""The drill: a deterministic agent in the default sandbox, judged from outside (architecture)."""
