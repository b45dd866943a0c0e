"""The files of a policy: read once, parsed, and their policies by name (R1, T7, T8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from . import ast
from .canonical import sha256_hex
from .checks.names import did_you_mean
from .diagnostics import Diagnostic, Note, Source, Span
from .files import OversizedFile, UnreadableFile, caller, owner_of, read_policy_file
from .findings import Findings
from .inherit import Lineage
from .model import ReadFile
from .parse import decode, parse
from .shipped import BUILT_IN, shipped_names, shipped_path

MAX_DEPTH = 16
"""Imports and parents go at most this deep (T7)."""

MAX_FILES = 64
"""A closure has at most this many files (T7)."""


@dataclass(frozen=True, slots=True)
class PolicyNode:
    """One policy of a closure."""

    tree: ast.Policy
    source: Source
    file: str
    """How positions and findings name its file."""
    shipped: bool

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.tree.name.text

    @property
    def heading(self) -> Span:
        """Where its name is written."""
        return self.tree.name.span


@dataclass(slots=True)
class Closure:
    """Every policy that can be named from one file, and what was read to know them."""

    policies: dict[str, PolicyNode] = field(default_factory=dict[str, PolicyNode])
    main: list[str] = field(default_factory=list[str])
    """The policies of the file that was asked for, in its order."""
    files: list[ReadFile] = field(default_factory=list[ReadFile])
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def lineage(self) -> Lineage:
        """Gives the inheritance relation; parents that are not there or close a cycle are left out."""
        return Lineage({name: self._parents(node) for name, node in self.policies.items()})

    def _parents(self, node: PolicyNode) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word.text for word in node.tree.extends if word.text in self.policies))


class Reader:
    """Reads the closure of one file, text or shipped policy."""

    def __init__(self, root: Path | None) -> None:
        """Takes the policy root: imports stay inside; None permits none."""
        self._root = root
        self._seen: dict[Path, list[str]] = {}
        # Whoever owns the file that was asked for could write into it what he imports.
        self._owners = {0, caller()}
        self.closure = Closure()

    def read_main(self, source: Source, path: Path | None, *, shipped: bool = False) -> None:
        """Takes the main text and all that it imports or extends; `path` is None for a text without file."""
        directory = None if path is None else path.parent
        owner = None if path is None else owner_of(path)
        if owner is not None:
            self._owners.add(owner)
        trail = () if path is None else (path,)
        self.closure.main = self._take(source, directory, depth=1, trail=trail, shipped=shipped)
        self._read_shipped_parents()
        self._check_parents()

    def note_file(self, path: Path, content: bytes) -> None:
        """Notes that a file was read."""
        self.closure.files.append(ReadFile(path, sha256_hex(content)))

    def _take(
        self, source: Source, directory: Path | None, *, depth: int, trail: tuple[Path, ...], shipped: bool
    ) -> list[str]:
        tree, diagnostics = parse(source)
        self.closure.diagnostics.extend(diagnostics)
        if tree is None:
            return []
        names: list[str] = []
        for policy in tree.policies:
            node = PolicyNode(policy, source, source.filename, shipped)
            if self._add(node):
                names.append(node.name)
        for statement in tree.imports:
            self._import(statement, source, directory, depth=depth, trail=trail, shipped=shipped)
        return names

    def _add(self, node: PolicyNode) -> bool:
        findings = Findings(node.source, node.heading)
        if node.name in BUILT_IN and not node.shipped:
            message = f"`{node.name}` is a built-in policy: nobody else may have its name"
            findings.error("P023", node.heading, message, rule="T7", fix="choose another name")
        elif node.name in self.closure.policies:
            other = self.closure.policies[node.name]
            note = Note("the other one", other.heading, other.source)
            message = f"there are two policies of the name `{node.name}`"
            findings.error("P016", node.heading, message, rule="T7", notes=(note,))
        else:
            self.closure.policies[node.name] = node
            return True
        self.closure.diagnostics.extend(findings.all)
        return False

    def _import(
        self,
        statement: ast.Import,
        source: Source,
        directory: Path | None,
        *,
        depth: int,
        trail: tuple[Path, ...],
        shipped: bool,
    ) -> None:
        findings = Findings(source, statement.path.span)
        path = self._import_path(statement, directory, findings)
        if path is not None and self._may_read(path, statement.path.span, depth, trail, findings):
            found = self._read(path, statement.path.span, findings)
            if found is not None:
                self._seen[path] = []
                self._seen[path] = self._take(
                    found, path.parent, depth=depth + 1, trail=(*trail, path), shipped=shipped
                )
        self.closure.diagnostics.extend(findings.all)

    def _import_path(self, statement: ast.Import, directory: Path | None, findings: Findings) -> Path | None:
        written, span = statement.path.plain(), statement.path.span
        if any(isinstance(part, ast.VariableReference) for part in statement.path.parts):
            findings.error("P043", span, "no variable is replaced in an import", rule="T7")
            return None
        odd = written.startswith(("/", "~", "./")) or "://" in written or "\\" in written or not written
        if directory is None or self._root is None:
            findings.error("P021", span, "a text without a file imports nothing", rule="T7")
            return None
        if odd:
            message = "an import is a path relative to this file, with `/` and perhaps leading `../`"
            findings.error("P021", span, message, rule="T7")
            return None
        path = Path(directory, written)
        resolved = path.parent.resolve() / path.name
        if not resolved.resolve().is_relative_to(self._root):
            findings.error("P021", span, f"`{written}` leads out of the policy root", rule="T7")
            return None
        return resolved

    def _may_read(
        self, path: Path, span: Span, depth: int, trail: tuple[Path, ...], findings: Findings
    ) -> bool:
        if path in trail:
            findings.error("P022", span, "this import closes a cycle", rule="T7")
        elif depth >= MAX_DEPTH:
            findings.error("P022", span, f"imports go deeper than {MAX_DEPTH}", rule="T7")
        elif path in self._seen:
            return False
        elif len(self.closure.files) >= MAX_FILES:
            findings.error("P022", span, f"there are more than {MAX_FILES} files", rule="T7")
        else:
            return True
        return False

    def _read(self, path: Path, span: Span, findings: Findings) -> Source | None:
        try:
            file = read_policy_file(path)
        except OversizedFile as error:
            findings.error("P007", span, f"the imported file {error.why}", rule="T1")
            return None
        except UnreadableFile as error:
            findings.error("P021", span, f"the imported file {error.why}", rule="T7")
            return None
        stranger = file.stranger(self._owners)
        if stranger is not None:
            message = f"the imported file {stranger}, so that others decide what this policy says"
            fix = f"own `{path}` yourself, and `chmod o-w` it"
            findings.error("P021", span, message, rule="T8", fix=fix)
            return None
        self.note_file(path, file.content)
        source, diagnostics = decode(file.content, str(path))
        self.closure.diagnostics.extend(diagnostics)
        return source

    def _read_shipped_parents(self) -> None:
        """Takes the policies that ship as far as somebody extends them (T7)."""
        waiting = [word.text for node in self.closure.policies.values() for word in node.tree.extends]
        while waiting:
            name = waiting.pop()
            path = None if name in self.closure.policies else shipped_path(name)
            if path is None:
                continue
            content = read_policy_file(path).content
            self.note_file(path, content)
            source, diagnostics = decode(content, path.name)
            self.closure.diagnostics.extend(diagnostics)
            if source is None:
                continue
            tree, diagnostics = parse(source)
            self.closure.diagnostics.extend(diagnostics)
            for policy in tree.policies if tree is not None else ():
                # The closure's own policy of a name goes before the one that ships, except for the built-ins.
                if policy.name.text not in self.closure.policies:
                    node = PolicyNode(policy, source, path.name, shipped=True)
                    self.closure.policies[node.name] = node
                    waiting += [word.text for word in policy.extends]

    def _check_parents(self) -> None:
        for node in self.closure.policies.values():
            findings = Findings(node.source, node.heading)
            for word in node.tree.extends:
                if word.text not in self.closure.policies:
                    meant = did_you_mean(word.text, [*self.closure.policies, *shipped_names()])
                    message = f"there is no policy `{word.text}`"
                    findings.did_you_mean("P020", word.span, message, meant, rule="T7")
            self.closure.diagnostics.extend(findings.all)
        self._check_cycles()

    def _check_cycles(self) -> None:
        depths: dict[str, int] = {}
        parents = self.closure.lineage().parents
        looping: set[str] = set()

        def depth_of(name: str, trail: tuple[str, ...]) -> int:
            if name in trail:
                looping.update(trail[trail.index(name) :])
                return 0
            if name not in depths:
                depths[name] = 1 + max(
                    (depth_of(parent, (*trail, name)) for parent in parents[name]), default=0
                )
            return depths[name]

        for name in parents:
            depth_of(name, ())
        for name in sorted(self.closure.policies):
            node = self.closure.policies[name]
            findings = Findings(node.source, node.heading)
            if name in looping:
                findings.error("P022", node.heading, f"`{name}` is its own ancestor", rule="T7")
            elif depths.get(name, 0) > MAX_DEPTH:
                findings.error(
                    "P022", node.heading, f"`{name}` has more than {MAX_DEPTH} generations", rule="T7"
                )
            self.closure.diagnostics.extend(findings.all)
