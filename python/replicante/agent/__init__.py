"""Agents that come with Replicante. They use only what any agent would have: nothing of ours is imported here."""
