"""The docstrings under a struct's fields, so that what is documented once can be shown, checked and published."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

import msgspec


@cache
def field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Collect field → docstring of a struct and its bases; empty where the source is not installed.

    >>> from edgeseq.config import JournalConfig
    >>> sorted(field_docs(JournalConfig))
    ['commit_every', 'durability', 'max_bytes', 'snapshot_every']
    """
    docs: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            docs.update(_own_docs(base))
    return docs


def _own_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Read the docstrings of one class body."""
    try:
        source = textwrap.dedent(inspect.getsource(struct))
    except (OSError, TypeError):
        return {}
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 (inspect gave the source of a class)
    docs = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            docs[field.target.id] = inspect.cleandoc(str(after.value.value))  # type: ignore[attr-defined]
    return docs
