"""Every name of an environment variable that Replicante's own code reads, and nothing else.

A variable may say where files lie or how output looks; nothing that weakens enforcement is a variable (it is
a line in a policy, and so in its identity).
"""

XDG_STATE_HOME = "XDG_STATE_HOME"
"""Base of the state directory of an ordinary user; root never looks at it."""

XDG_CONFIG_HOME = "XDG_CONFIG_HOME"
"""Base of the operator's settings (`default.policy`); root never looks at it."""

NO_COLOR = "NO_COLOR"
"""When set and not empty, output has no colour (https://no-color.org)."""

TERM = "TERM"
"""The terminal's kind; `dumb` has no colour."""

COMPLETE = "_REPLICANTE_COMPLETE"
"""Set by the shell's completion script, never by people."""
