"""Events of a run: what a journal holds, and reading it."""
