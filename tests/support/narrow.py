"""A platform of 32 bits, as far as NumPy's index arrays go, on one of 64: a plugin of pytest.

    python -m pytest -p tests.support.narrow tests/…

Where np.intp has 32 bits, NumPy's `take`, `put`, `repeat`, `bincount`, `choose` and `reduceat` refuse indices of 64. On
Linux with 64 bits np.int64 and np.intp are the type "l", and there is another of the same width, "q". While this is
loaded, whatever edgeseq calls np.int64 is "q", NumPy's own index arrays stay "l", and those functions refuse "q".
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType
from typing import Any

import numpy as np

WIDE = "q"
REFUSED = "Cannot cast array data from dtype('int64') to dtype('int32') according to the rule 'safe'"
FUNCTIONS = frozenset({"bincount", "choose", "put", "reduceat", "repeat", "take"})
INDEX_FIRST = frozenset({"bincount", "choose"})


def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call one of FUNCTIONS, if it is NumPy's with indices of the platform's width; TypeError as NumPy words it."""
    owner = getattr(function, "__self__", None)
    is_method = isinstance(owner, np.ndarray)
    if is_method or (getattr(function, "__module__", None) or "").startswith("numpy"):
        given = (*arguments, *options.values())
        index = given[0 if is_method or function.__name__ in INDEX_FIRST else 1]
        if isinstance(index, np.ndarray) and index.dtype.char == WIDE:
            raise TypeError(REFUSED)
    return function(*arguments, **options)


def divided(result: Any, *operands: Any) -> Any:
    """Keep the type where NumPy's loops for // and % answer "l" for "q"."""
    is_wide = any(getattr(getattr(operand, "dtype", None), "char", "") == WIDE for operand in operands)
    return result.view(np.longlong) if is_wide and getattr(result, "dtype", None) == np.longlong else result


class _Narrow(ast.NodeTransformer):
    """Rewrites what decides: calls of FUNCTIONS, divisions, and the type's name as text."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in FUNCTIONS:
            return ast.Call(_name("_narrow_call"), [node.func, *node.args], node.keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            node.keywords = []  # copy=False would leave "q" where "l" is wanted, as they are equal here
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.FloorDiv | ast.Mod) and not isinstance(node.left, ast.Constant):
            return ast.Call(_name("_narrow_divided"), [node, node.left, node.right], [])
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("longlong") if node.value == "int64" else node


def _name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed source, never what is cached of the unchanged one."""
        source = self.get_data(self.path)
        tree = ast.fix_missing_locations(_Narrow().visit(ast.parse(source)))
        return compile(tree, self.path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        """Run it, with the functions above at hand."""
        module.__dict__.update(_narrow_call=call, _narrow_divided=divided)
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find edgeseq's modules, for the loader above."""
        if fullname.partition(".")[0] != "edgeseq":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


assert not any(name.partition(".")[0] == "edgeseq" for name in sys.modules), "it comes too late"
np.int64 = np.longlong
sys.meta_path.insert(0, _Finder())
