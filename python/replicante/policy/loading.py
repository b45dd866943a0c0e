"""Loading a policy completely: read, parse, bind, check, compile, test (R1). There is no partial policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from replicante._core import public_suffix_date
from replicante.errors import PolicyError

from .assemble import Ancestry, BoundValues, Origin, assemble, source_map
from .checks.inheritance import check_inheritance, resolve_rule_limits
from .closure import Closure, PolicyNode, Reader
from .diagnostics import Diagnostic, Source, in_order
from .files import OversizedFile, UnreadableFile, read_policy_file
from .findings import Findings
from .hostsets import effective_host_sets
from .inherit import Lineage
from .model import PlacedExpectation, Policy, SourceRef, Surroundings
from .parse import decode
from .read_policy import read_policy
from .shipped import shipped_path
from .statements import OwnStatements
from .tests_run import RulePlace, run_tests

if TYPE_CHECKING:
    from replicante._core import Engine


def load_policy(
    path: str | Path,
    *,
    name: str | None = None,
    variables: Mapping[str, str] | None = None,
    host_sets: Mapping[str, Sequence[str]] | None = None,
) -> Policy:
    """Loads a policy from its file, or one that ships by its name (T8).

    Args:
        path: A file (`.toml`: the older configuration), or as a `str` without `/` and `.` the NAME of a
            policy that ships; `FILE:NAME` names one of several.
        name: Which policy of the file; needed if it holds more than one.
        variables: Values of `workspace`, `home`, … (T6). One that the policy mentions and that has no value
            is an
            error: nothing is taken from the environment.
        host_sets: Host sets that replace those that ship, by name with or without `@` (N15).

    Returns:
        The checked policy; its tests have passed.

    Raises:
        PolicyError: With every finding, if there is one error.
    """
    file, name = _split_reference(path, name)
    shipped = shipped_path(str(path)) if file is None else None
    if file is None and shipped is None:
        raise _no_such_policy(str(path))
    if shipped is not None:
        reader = Reader(shipped.parent)
        source = _read_main(shipped, reader, filename=shipped.name)
        reader.read_main(source, shipped, shipped=True)
        return _finish(reader.closure, str(path), variables, host_sets)
    given = Path(file or "")
    resolved = given.absolute().parent.resolve() / given.name
    reader = Reader(_policy_root(resolved.parent))
    source = _read_main(resolved, reader, filename=str(given))
    values = dict(variables or {})
    if given.suffix == ".toml":
        source = _translated(source, reader, values)
    reader.read_main(source, resolved)
    return _finish(reader.closure, name, values, host_sets)


def _translated(source: Source, reader: Reader, values: dict[str, str]) -> Source:
    """Gives the older configuration as policy text; its own workspace goes before the caller's (§17)."""
    from .toml import translate

    translation, diagnostics = translate(source)
    reader.closure.diagnostics.extend(diagnostics)
    if translation is None:
        raise _refuse(diagnostics)
    if translation.workspace is not None:
        values["workspace"] = translation.workspace
    return Source(translation.text, source.filename)


def parse_policy(
    text: str,
    *,
    filename: str = "<text>",
    name: str | None = None,
    variables: Mapping[str, str] | None = None,
    host_sets: Mapping[str, Sequence[str]] | None = None,
) -> Policy:
    """Loads a policy from its text; it may extend the policies that ship, and import nothing.

    Args:
        text: The text of a policy file.
        filename: What findings and positions call it.
        name: Which policy of the text; needed if it holds more than one.
        variables: As for `load_policy`.
        host_sets: As for `load_policy`.

    Raises:
        PolicyError: With every finding, if there is one error.
    """
    reader = Reader(None)
    reader.read_main(Source(text, filename), None)
    return _finish(reader.closure, name, variables, host_sets)


def compile_policy(
    text: str,
    *,
    variables: Mapping[str, str] | None = None,
    host_sets: Mapping[str, Sequence[str]] | None = None,
) -> Engine:
    """Gives the decision engine of a policy's text.

    Raises:
        PolicyError: With every finding, if there is one error.
    """
    return parse_policy(text, variables=variables, host_sets=host_sets).compile()


def _split_reference(path: str | Path, name: str | None) -> tuple[str | None, str | None]:
    """Gives file and policy of a reference; no file for the NAME of a policy that ships (T8)."""
    if isinstance(path, Path):
        return str(path), name
    if "/" not in path and "." not in path:
        return None, name
    file, colon, last = path.rpartition(":")
    if name is None and colon and file and "/" not in last and "." not in last and not Path(path).exists():
        return file, last
    return path, name


def _policy_root(directory: Path) -> Path:
    for candidate in (directory, *directory.parents):
        if (candidate / ".git").exists():
            return candidate
    return directory


def _refuse(diagnostics: Sequence[Diagnostic]) -> PolicyError:
    found = in_order(diagnostics)
    first = next((one for one in found if one.is_error), None)
    message = "the policy is refused" if first is None else f"the policy is refused: {first.message}"
    return PolicyError(message, found, code=None if first is None else first.code)


def _whole_file(code: str, filename: str, message: str) -> PolicyError:
    source = Source("", filename)
    return _refuse([Diagnostic(code, message, source.span(0, 0), source, rule="R1")])


def _no_such_policy(name: str) -> PolicyError:
    return _whole_file("P020", name, f"no policy of the name `{name}` ships; a file is named with `/` or `.`")


def _read_main(path: Path, reader: Reader, *, filename: str) -> Source:
    try:
        content = read_policy_file(path).content
    except OversizedFile as error:
        raise _whole_file("P007", filename, f"the file {error.why}") from error
    except UnreadableFile as error:
        raise _whole_file("P021", filename, f"the file {error.why}") from error
    reader.note_file(path.absolute(), content)
    source, diagnostics = decode(content, filename)
    if source is None:
        raise _refuse(diagnostics)
    reader.closure.diagnostics.extend(diagnostics)
    return source


@dataclass(slots=True)
class _Loaded:
    """A closure while it is checked."""

    closure: Closure
    lineage: Lineage
    values: BoundValues
    own: dict[str, OwnStatements]
    findings: dict[str, Findings]

    def node(self, name: str) -> PolicyNode:
        return self.closure.policies[name]

    def ancestry(self, name: str) -> Ancestry:
        names = self.lineage.ancestry(name)
        shipped = frozenset(each for each in names if self.node(each).shipped)
        return Ancestry(name, self.lineage, {each: self.own[each] for each in names}, shipped)

    def diagnostics(self) -> list[Diagnostic]:
        found = list(self.closure.diagnostics)
        for name, findings in self.findings.items():
            # What the policies that ship are warned of is known, and their reader cannot change it.
            quiet = self.node(name).shipped and name not in self.closure.main
            found += [one for one in findings.all if one.is_error or not quiet]
        return found


def _finish(
    closure: Closure,
    name: str | None,
    variables: Mapping[str, str] | None,
    host_sets: Mapping[str, Sequence[str]] | None,
) -> Policy:
    if any(one.is_error and one.code in ("P020", "P022") for one in closure.diagnostics) or not closure.main:
        raise _refuse(closure.diagnostics)
    values = BoundValues(variables or {}, effective_host_sets(host_sets), public_suffix_date())
    loaded = _Loaded(closure, closure.lineage(), values, {}, {})
    _check(loaded)
    if any(one.is_error for one in loaded.diagnostics()):
        raise _refuse(loaded.diagnostics())
    target = _target(loaded, name)
    policies = {each: _model(loaded, each) for each in loaded.lineage.ancestry(target)}
    _run_tests(loaded, policies)
    for each in closure.main:
        if each not in policies:
            _run_tests(loaded, {each: _model(loaded, each)})
    diagnostics = loaded.diagnostics()
    if any(one.is_error for one in diagnostics):
        raise _refuse(diagnostics)
    return _attach_all(loaded, target, policies, in_order(diagnostics))


def _check(loaded: _Loaded) -> None:
    """Reads and checks the policies of the main file and their ancestors, ancestors first."""
    names = dict.fromkeys(each for main in loaded.closure.main for each in loaded.lineage.ancestry(main))
    # What could not be parsed may be just what a rule lifts: nothing is said about inheritance then.
    is_whole = not any(one.is_error for one in loaded.closure.diagnostics)
    for name in names:
        node = loaded.node(name)
        findings = loaded.findings[name] = Findings(node.source, node.heading)
        loaded.own[name] = read_policy(
            node.tree, node.file, loaded.values.variables, loaded.values.host_sets, findings
        )
        ancestry = loaded.ancestry(name)
        resolve_rule_limits(ancestry, findings)
        is_sound = not any(one.is_error for each in ancestry.own for one in loaded.findings[each].all)
        if is_whole and is_sound and (name in loaded.closure.main or not node.shipped):
            check_inheritance(ancestry, findings)


def _target(loaded: _Loaded, name: str | None) -> str:
    main = loaded.closure.main
    if name is None and len(main) == 1:
        return main[0]
    first = loaded.node(main[0])
    names = ", ".join(f"`{each}`" for each in main)
    if name is None:
        message = f"the file holds several policies: {names}"
        fix = f"name one: {first.file}:{main[0]}"
        diagnostic = Diagnostic("P024", message, first.heading, first.source, rule="T8", fix=fix)
    elif name in main:
        return name
    else:
        message = f"the file holds no policy `{name}`, but {names}"
        diagnostic = Diagnostic("P020", message, first.heading, first.source, rule="T8")
    raise _refuse([*loaded.diagnostics(), diagnostic])


def _model(loaded: _Loaded, name: str) -> Policy:
    """Gives the model of one policy with all that stands beside it but warnings and ancestors."""
    ancestry = loaded.ancestry(name)
    policy = assemble(ancestry, loaded.values)
    node = loaded.node(name)
    places = source_map(ancestry)
    heading = SourceRef(node.file, node.heading.line, node.heading.column, "")
    for rule in policy.syscalls:
        places.setdefault(rule.id, heading)  # the implicit ones stand where their policy starts
    return policy.attach(
        Surroundings(
            source_map=places,
            warnings=(),
            closure=tuple(loaded.closure.files),
            ancestors=(),
            text=_text(loaded, ancestry),
            take_unbound=lambda: assemble(ancestry, loaded.values, "symbolic"),
            expectations=[
                PlacedExpectation(
                    run.test,
                    f"{node.file}:{run.span.line}:{run.span.column}",
                    run.outcome,
                    run.question.symbolic,
                )
                for run in loaded.own[name].test_runs
            ],
            origin=Origin(ancestry, node.source, node.heading),
        )
    )


def _text(loaded: _Loaded, ancestry: Ancestry) -> str:
    """Gives the policies of an ancestry that do not ship as one text, ancestors first."""
    shown = [name for name in ancestry.own if not loaded.node(name).shipped] or [ancestry.name]
    parts = ["language 1"]
    for name in shown:
        node = loaded.node(name)
        parts.append(node.source.text_of(node.tree.span))
    return "\n\n".join(parts) + "\n"


def _run_tests(loaded: _Loaded, policies: Mapping[str, Policy]) -> None:
    """Runs the tests of each policy against that very policy (X2)."""
    for name, policy in policies.items():
        runs = loaded.own[name].test_runs
        if runs:
            places = {
                statement.id: RulePlace(statement.span, loaded.node(owner).source)
                for owner in loaded.lineage.ancestry(name)
                for statement in loaded.own[owner].rules
            }
            run_tests(policy.compile(), runs, places, loaded.findings[name])


def _attach_all(
    loaded: _Loaded, target: str, policies: Mapping[str, Policy], warnings: Sequence[Diagnostic]
) -> Policy:
    for name, policy in policies.items():
        older = tuple(policies[each] for each in loaded.lineage.ancestors(name))
        policy.complete(tuple(warnings) if name == target else (), older)
    return policies[target]
