"""`replicante sandbox`: an agent from an agent.toml, or the drill."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.output import print_json, print_table
from replicante.cli.run import described, launch, refuse, rendered

_HELP = """\
Run an agent from an agent.toml; without one, run the drill: a demonstration that judges itself.

The drill works in a fresh temporary directory, never in the current one, and ends with 0 only if all
allowed steps worked and no forbidden step did.

\b
Examples:
  replicante sandbox
  replicante sandbox --config agent.toml
  replicante sandbox --config agent.toml --sandbox-config sandbox.toml
"""


def add_to(root: typer.Typer) -> None:
    """Registers the command."""
    root.command("sandbox", help=_HELP)(sandbox)


def sandbox(
    config: Annotated[
        Path | None, typer.Option("--config", help="The agent.toml of the agent to run.")
    ] = None,
    sandbox_config: Annotated[
        str | None,
        typer.Option("--sandbox-config", help="A sandbox.toml or .policy in place of the agent's."),
    ] = None,
    supervisor: Annotated[str | None, typer.Option("--supervisor", help="Address of a supervisor.")] = None,
    no_weaker: Annotated[bool, typer.Option("--no-weaker", help="Refuse every stand-in.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Runs an agent or the drill."""
    if supervisor is not None:
        return refuse(
            "[L027] `--supervisor` needs the supervisor daemon, which is not part of this release; "
            "leave the option out to run without one",
            exit_codes.RUN_NOT_SET_UP,
        )
    if config is not None:
        return _agent(config, sandbox_config, no_weaker=no_weaker, report="json" if as_json else "text")
    if sandbox_config is not None:
        return refuse(
            "`--sandbox-config` needs `--config agent.toml`: the drill has its own policy", exit_codes.USAGE
        )
    return _drill(as_json=as_json)


def _agent(config: Path, sandbox_config: str | None, *, no_weaker: bool, report: str) -> int:
    from replicante.errors import ConfigError
    from replicante.sandbox.agent_config import read_agent_config
    from replicante.sandbox.start import StartOptions

    try:
        agent = read_agent_config(config)
    except ConfigError as error:
        return refuse(described(error), exit_codes.RUN_POLICY_REFUSED)
    policy = agent.policy if sandbox_config is None else sandbox_config
    options = StartOptions(policy=policy, workspace=agent.workspace, no_weaker=no_weaker, report=report)
    return launch(agent.command, options)


def _drill(*, as_json: bool) -> int:
    from replicante.errors import LaunchError, PolicyError
    from replicante.sandbox.drill.conduct import conduct
    from replicante.sandbox.drill.steps import NOT_IN_FORCE

    try:
        outcome = conduct()
    except PolicyError as error:
        typer.echo(rendered(error), err=True, nl=False)
        return exit_codes.RUN_POLICY_REFUSED
    except LaunchError as error:
        return refuse(described(error), exit_codes.RUN_NOT_SET_UP)
    ok = outcome.right == outcome.judged
    if as_json:
        rows = [
            {**asdict(result.step), **asdict(result), "step": result.step.name} for result in outcome.results
        ]
        waiting = [{"title": title, "reason": reason} for title, reason in NOT_IN_FORCE]
        print_json(ok, steps=rows, not_in_force=waiting, right=outcome.right, judged=outcome.judged)
        return exit_codes.GOOD if ok else exit_codes.NO
    print_table(
        [(str(number), result.step.title, result.step.expected, result.verdict, result.happened, result.rule)
         for number, result in enumerate(outcome.results, 1)],
        ("", "step", "expected", "verdict", "as seen from outside", "deciding rule"),
    )  # fmt: skip
    for title, reason in NOT_IN_FORCE:
        typer.echo(f"not in force: {title} ({reason})")
    typer.echo("What the run itself said:")
    typer.echo("".join(f"  {line}\n" for line in outcome.talk.splitlines()), nl=False)
    typer.echo(f"{outcome.right} of {outcome.judged} as expected")
    return exit_codes.GOOD if ok else exit_codes.NO
