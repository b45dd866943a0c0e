"""Exit codes of every command (policy-language §14)."""

GOOD = 0
NO = 1
"""The answer is no: difference, failing test, finding, wider, denied, altered."""
POLICY_ERROR = 2
CONSENT_NEEDED = 3
USAGE = 4
INTERNAL = 5

RUN_POLICY_REFUSED = 122
RUN_CONSENT_NEEDED = 123
RUN_TIME_LIMIT = 124
RUN_NOT_SET_UP = 125
RUN_NOT_EXECUTABLE = 126
RUN_NOT_FOUND = 127
