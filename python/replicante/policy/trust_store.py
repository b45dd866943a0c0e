"""Which policies the operator trusts for which directories (R2): one file in the state directory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from replicante.errors import StoreError

SCHEMA = 1
"""Version of the file."""

_FILE = "trusted.json"


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """One consent: the operator agreed to this policy for this directory."""

    policy: str
    """Name of the policy."""
    trust_digest: str
    """Its digest before variables are bound (D2), 64 hex digits."""
    text: str
    """Its text as it was then, to show a person what differs later."""


class TrustStore:
    """The consents of one operator. The state directory must lie outside every tree a sandbox can write."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _FILE

    def records(self) -> Mapping[str, TrustRecord]:
        """Gives all consents by the path of the top directory.

        Raises:
            StoreError: If the file is there and cannot be read or understood. It is then not empty trust: a
                person must look.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"the trust record `{self._path}` cannot be read: {error.strerror}") from error
        try:
            document = cast("dict[str, object]", json.loads(content))
            if document["schema"] != SCHEMA:
                raise StoreError(
                    f"the trust record `{self._path}` has the unknown schema {document['schema']}"
                )
            rows = cast("dict[str, dict[str, str]]", document["trusted"])
            return {top: TrustRecord(**row) for top, row in rows.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the trust record `{self._path}` is damaged: {error}") from error

    def find(self, top_dir: Path) -> TrustRecord | None:
        """Gives the consent for a directory, or None if there is none."""
        return self.records().get(str(top_dir))

    def record(self, top_dir: Path, consent: TrustRecord) -> None:
        """Records a consent in place of any earlier one for that directory; atomic and durable.

        Raises:
            StoreError: If it cannot be written; the file then holds what it held before.
        """
        self._write({**self.records(), str(top_dir): consent})

    def revoke(self, top_dir: Path) -> bool:
        """Forgets the consent for a directory; tells whether there was one.

        Raises:
            StoreError: If it cannot be written; the file then holds what it held before.
        """
        records = dict(self.records())
        if records.pop(str(top_dir), None) is None:
            return False
        self._write(records)
        return True

    def _write(self, records: Mapping[str, TrustRecord]) -> None:
        document = {"schema": SCHEMA, "trusted": {top: asdict(record) for top, record in records.items()}}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f".{_FILE}.", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent=2, sort_keys=True)
                    file.write("\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self._path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            raise StoreError(
                f"the trust record `{self._path}` cannot be written: {error.strerror}"
            ) from error
