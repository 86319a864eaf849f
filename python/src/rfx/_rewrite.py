"""Rewrites `assert` so that it says what it saw.

`assert total(x) == 3, "sum"` becomes, with names that no source can contain:

    @rfx0 = @rfx1 = @rfx.UNSEEN
    if not ((@rfx0 := total((@rfx1 := x))) == 3):
        raise @rfx.broken("total(x) == 3", (("total(x)", @rfx0), ("x", @rfx1)), ("==", @rfx0, 3), "sum")
    @rfx0 = @rfx1 = None

Each part is evaluated once, in its order, and only if Python would have. An `and` becomes one check after the other,
so that the one that does not hold is compared. In a module the names are deleted in the end, whatever came of it; in
the body of a class, where they would be members, an assertion stays as it is. Lines and columns stay as they are.
"""

from __future__ import annotations

import ast
from typing import Final

_RUNTIME: Final = "@rfx"
_OPERATORS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_LEFT_ALONE: Final = (ast.Constant, ast.Tuple)
"""What needs no words: `assert False`; and what Python itself warns of: `assert (x, "message")`."""

_PARTS: Final = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.BinOp, ast.Await)
"""Parts of an expression whose values are worth showing."""


def rewrite(source: str, path: str) -> ast.Module:
    """Parse a module and rewrite its assertions."""
    tree = ast.parse(source, path)
    rewriter = _Rewriter(source)
    rewriter.visit(tree)
    if rewriter.found:
        runtime = ast.Import([ast.alias("rfx._explain", _RUNTIME)])
        place = _behind_the_head(tree)
        at = tree.body[min(place, len(tree.body) - 1)]
        tree.body.insert(place, ast.fix_missing_locations(ast.copy_location(runtime, at)))
    return tree


class _Rewriter(ast.NodeTransformer):
    """Replaces the assertions of a module."""

    def __init__(self, source: str) -> None:
        self.found = False
        self._lines = source.encode().split(b"\n")
        self._scope: type[ast.AST] = ast.Module

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._within(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._within(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._within(node)

    def _within(self, node: ast.AST) -> ast.AST:
        around, self._scope = self._scope, type(node)
        made = self.generic_visit(node)
        self._scope = around
        return made

    def visit_Assert(self, node: ast.Assert) -> ast.stmt | list[ast.stmt]:
        # The names in a class are its members: those of an Enum, for one.
        if isinstance(node.test, _LEFT_ALONE) or self._scope is ast.ClassDef:
            return node
        self.found = True
        test = node.test
        parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
        made = [statement for part in parts for statement in self._statements(part, node)]
        return [ast.fix_missing_locations(ast.copy_location(statement, node)) for statement in made]

    def _statements(self, part: ast.expr, node: ast.Assert) -> list[ast.stmt]:
        check = _Check(self._lines)
        made = check.statements(part, node)
        if self._scope is not ast.Module or len(made) == 1:
            return made
        # What a module defines is seen by others, also when somebody catches what it raises.
        first, *others, _ = made
        return [first, ast.Try(others, [], [], [check.forgotten()])]


class _Check:
    """Writes the check of one expression, and remembers which of its parts have names."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._texts: list[str] = []

    def statements(self, test: ast.expr, node: ast.Assert) -> list[ast.stmt]:
        checked, comparison = self._compared(test)
        seen: list[ast.expr] = [
            _tuple(ast.Constant(text), _load(_name(number))) for number, text in enumerate(self._texts)
        ]
        message = ast.Constant(None) if node.msg is None else node.msg
        arguments = [ast.Constant(_text(self._lines, node.test)), _tuple(*seen), comparison, message]
        broken = ast.Call(_runtime("broken"), arguments, [])
        check = ast.If(ast.UnaryOp(ast.Not(), checked), [ast.Raise(broken, None)], [])
        if not seen:
            return [check]
        # Set before, for parts that are not reached; and after, so that no value is held back.
        return [self._set_all(_runtime("UNSEEN")), check, self._set_all(ast.Constant(None))]

    def forgotten(self) -> ast.stmt:
        """Take the names away."""
        return ast.Delete([ast.Name(_name(number), ast.Del()) for number in range(len(self._texts))])

    def _set_all(self, value: ast.expr) -> ast.stmt:
        return ast.Assign([ast.Name(_name(number), ast.Store()) for number in range(len(self._texts))], value)

    def _compared(self, test: ast.expr) -> tuple[ast.expr, ast.expr]:
        """Show the parts of a test, and both sides where it is one comparison."""
        if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
            return self._shown(test), ast.Constant(None)
        left, right = self._kept(test.left), self._kept(test.comparators[0])
        operator = ast.Constant(_OPERATORS[type(test.ops[0])])
        checked = ast.copy_location(ast.Compare(left, test.ops, [right]), test)
        return checked, _tuple(operator, _again(left), _again(right))

    def _shown(self, node: ast.expr) -> ast.expr:
        """Take a truth value apart into the parts that decide it."""
        made: ast.expr
        if isinstance(node, ast.BoolOp):
            made = ast.BoolOp(node.op, [self._shown(value) for value in node.values])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            made = ast.UnaryOp(node.op, self._shown(node.operand))
        elif isinstance(node, ast.Compare):
            left = self._kept(node.left)
            made = ast.Compare(left, node.ops, [self._kept(side) for side in node.comparators])
        else:
            return self._kept(node)
        return ast.copy_location(made, node)

    def _kept(self, node: ast.expr) -> ast.expr:
        """Give the value of a part a name, and its own parts too."""
        if isinstance(node, ast.Constant):
            return node
        name = _name(len(self._texts))
        self._texts.append(node.target.id if isinstance(node, ast.NamedExpr) else _text(self._lines, node))
        return ast.copy_location(ast.NamedExpr(ast.Name(name, ast.Store()), self._inside(node)), node)

    def _inside(self, node: ast.expr) -> ast.expr:
        """Keep the receiver and the arguments of a call, and the operands of arithmetic."""
        made: ast.expr
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                receiver = ast.Attribute(self._part(function.value), function.attr, function.ctx)
                function = ast.copy_location(receiver, function)
            made = ast.Call(function, [self._part(argument) for argument in node.args], node.keywords)
        elif isinstance(node, ast.BinOp):
            left = self._part(node.left)
            made = ast.BinOp(left, node.op, self._part(node.right))
        else:
            return node
        return ast.copy_location(made, node)

    def _part(self, node: ast.expr) -> ast.expr:
        return self._kept(node) if isinstance(node, _PARTS) else node


def _again(side: ast.expr) -> ast.expr:
    """Read a value that was kept once more; a constant is written again."""
    return _load(side.target.id) if isinstance(side, ast.NamedExpr) else side


def _behind_the_head(tree: ast.Module) -> int:
    """Find the first place behind the docstring and the imports from `__future__`."""
    for place, node in enumerate(tree.body):
        is_docstring = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return place
    return len(tree.body)


def _text(lines: list[bytes], node: ast.expr) -> str:
    """Read an expression as it was written, in one line."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    taken = lines[first : last + 1]
    taken[-1] = taken[-1][: node.end_col_offset]
    taken[0] = taken[0][node.col_offset :]
    return " ".join(line.decode().strip() for line in taken)


def _name(number: int) -> str:
    return f"{_RUNTIME}{number}"


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _runtime(name: str) -> ast.expr:
    return ast.Attribute(_load(_RUNTIME), name, ast.Load())


def _tuple(*parts: ast.expr) -> ast.Tuple:
    return ast.Tuple(list(parts), ast.Load())
