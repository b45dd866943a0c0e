"""Agents that come with Replicante. They use what any agent has: nothing of ours is imported."""
