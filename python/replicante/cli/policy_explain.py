"""`replicante policy explain`: decides one request and says why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import render_all
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Settings, bindings, load
from replicante.cli.request_words import request_text

if TYPE_CHECKING:
    from replicante._core import Decision, Engine
    from replicante.policy.requests import Question

_HELP = """\
Decide one request, written as after `expect`, and say which rule decides.

`explain @GROUP` lists the system calls of a group.

Ends with 0 if the request is allowed, else with 1.

\b
Examples:
  replicante policy explain moderate read '${workspace}/.env'
  replicante policy explain moderate connect github.com port 443
  replicante policy explain .policy create '${workspace}/.git/hooks/pre-commit' --json
  replicante policy explain @mount
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("explain", help=_HELP, context_settings={"allow_interspersed_args": True})(explain)


def explain(
    reference: Annotated[str, typer.Argument(metavar="POLICY|@GROUP", help="A policy, or a group.")],
    request: Annotated[list[str] | None, typer.Argument(metavar="REQUEST", help="As after `expect`.")] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Explains one decision."""
    if reference.startswith("@"):
        return _list_group(reference, as_json=as_json)
    if not request:
        sys.stderr.write("replicante: name a request, as in `explain moderate read /etc/passwd`\n")
        return exit_codes.USAGE
    from replicante.errors import PolicyError
    from replicante.policy.requests import decide, parse_question

    policy = load(reference, settings, as_json=as_json)
    try:
        question = parse_question(request_text(request), bindings(settings))
    except PolicyError as error:
        if as_json:
            print_json(False, diagnostics=[diagnostic.to_json() for diagnostic in error.diagnostics])
        else:
            sys.stderr.write(render_all(error))
        return exit_codes.POLICY_ERROR
    engine = policy.compile()
    _print(engine, question, decide(engine, question), as_json=as_json)
    return exit_codes.GOOD if decide(engine, question).allowed else exit_codes.NO


def _print(engine: Engine, question: Question, decision: Decision, *, as_json: bool) -> None:
    from replicante.policy.explain import reason_text
    from replicante.policy.requests import request_text as canonical_text

    fix = None if decision.allowed else _fix(engine, question)
    rule = decision.rule
    if as_json:
        place = None
        if rule is not None:
            place = {
                "id": rule.id,
                "file": rule.file,
                "line": rule.line,
                "column": rule.column,
                "because": rule.because,
            }
        print_json(
            decision.allowed,
            outcome=decision.effect,
            reason=decision.reason,
            request=canonical_text(question),
            rule=place,
            lifted_by=fix,
            limits=[],
            generation=None,
            diagnostics=[],
        )
        return
    lines = [f"{decision.effect}: {reason_text(decision)}", f"  request       {canonical_text(question)}"]
    if rule is not None:
        lines.append(f"  rule          {rule.id}  {rule.file}:{rule.line}:{rule.column}")
        if rule.because:
            lines.append(f"  because       {rule.because}")
    if not decision.allowed:
        lines.append(f"  lifted by     {f'a child policy that says:  {fix}' if fix else 'nothing'}")
    sys.stdout.write("\n".join(lines) + "\n")


def _fix(engine: Engine, question: Question) -> str | None:
    """The line of a child policy that would allow the request, if there is one."""
    return engine.fix(
        question.action,
        question.resource,
        via=question.via,
        port=question.port,
        protocol=question.protocol,
        method=question.method,
        path=question.path,
        resolves=question.resolves,
        cname=question.cname,
        arguments=question.arguments,
        made=question.made,
    )


def _list_group(name: str, *, as_json: bool) -> int:
    from replicante._core import syscall_groups

    groups = syscall_groups()
    if name not in groups:
        sys.stderr.write(f"replicante: there is no group `{name}`; known are {', '.join(sorted(groups))}\n")
        return exit_codes.USAGE
    calls = sorted(groups[name])
    if as_json:
        print_json(True, group=name, syscalls=calls, diagnostics=[])
    else:
        sys.stdout.write("".join(f"{call}\n" for call in calls))
    return exit_codes.GOOD
