"""`replicante policy`: the tools of the policy language (policy-language §14)."""

from __future__ import annotations

import importlib

import typer

_COMMANDS = (
    "policy_check",
    "policy_lint",
    "policy_show",
    "policy_explain",
    "policy_test",
    "policy_fmt",
    "policy_trust",
    "why_denied",
)
"""One module for each command, in the order of the help."""

_HELP = """\
Check, lint, explain, show, test, trust and format policies.

POLICY is the NAME of a policy that ships, FILE, or FILE:NAME.

\b
Examples:
  replicante policy check .policy
  replicante policy lint .policy
  replicante policy explain moderate connect github.com port 443
  replicante policy show sandbox.toml
  replicante policy test .policy --coverage
"""


def add_to(root: typer.Typer) -> None:
    """Registers the group."""
    group = typer.Typer(
        help=_HELP,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in _COMMANDS:
        importlib.import_module(f"replicante.cli.{name}").add_to(group)
    root.add_typer(group, name="policy")
