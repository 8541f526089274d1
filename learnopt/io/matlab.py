"""The part of MATLAB that MATPOWER case files are written in: assignments, matrices, arithmetic, indexing.

An interpreter with a fixed list of functions: nothing of the file is ever executed as a program. What it does not know
is refused by line number, never guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Floats, Ints

Value = float | Floats | str
"""A scalar, a matrix (always two-dimensional) or a text."""

_FUNCTIONS: Mapping[str, Callable[[Value], Value]] = {
    name: getattr(np, name) for name in ("sqrt", "abs", "exp", "log", "sin", "cos", "tan")
} | {"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan}
_LONGEST_RANGE = 1e5
_MOST_CELLS = 5_000_000
"""Numbers that one matrix may have."""
_CONSTANTS = {"pi": math.pi, "Inf": math.inf, "inf": math.inf, "NaN": math.nan, "nan": math.nan}

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\ufeff]+|\.\.\.[^\n]*\n)
    |(?P<comment>[%\#].*)
    |(?P<newline>\n)
    |(?P<text>(?<![\w)\]}'.])'(?:[^'\n]|'')*'|"[^"\n]*")
    |(?P<number>(?:\d+(?:\.(?![*/^])\d*)?|\.\d+)(?:[eEdD][+-]?\d+)?)
    |(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    |(?P<operator>\.[*/^]|[-+*/^()\[\]{},:;=~])
    |(?P<other>.)""",
    re.VERBOSE | re.MULTILINE,
)


class Script(NamedTuple):
    """What a case function returns.

    Parameters
    ----------
    fields
        Values of the fields that were asked for.
    unread
        Other fields of the struct, and whether there is anything in them.
    """

    fields: dict[str, Value]
    unread: dict[str, bool]


class Token(NamedTuple):
    """One word of a script; ``spaced`` = white space before it, which separates the elements of a matrix."""

    kind: str
    text: str
    line: int
    spaced: bool


_END = Token("end", "", 0, False)


def _without_blocks(script: str) -> str:
    """Blank lines for comments between ``%{`` and ``%}``; one that never ends goes on to the end, as in MATLAB."""
    lines, depth = script.split("\n"), 0
    for k, text in enumerate(lines):
        mark = text.strip()
        depth += mark in ("%{", "#{")
        if depth:
            lines[k] = ""
        depth -= depth > 0 and mark in ("%}", "#}")
    return "\n".join(lines)


def _tokens(script: str) -> Iterator[Token]:
    line, spaced = 1, False
    for match in _TOKEN.finditer(_without_blocks(script)):
        kind, text = match.lastgroup or "other", match.group()
        if kind in ("space", "comment"):
            spaced = True
        else:
            yield Token(kind, text, line, spaced)
            spaced = False
        line += text.count("\n")


def _statements(script: str) -> Iterator[list[Token]]:
    """Tokens of each statement: ended by a line end, semicolon or comma outside of brackets."""
    statement: list[Token] = []
    depth = 0
    for token in _tokens(script):
        if depth == 0 and (token.kind == "newline" or token.text in (";", ",")):
            if statement:
                yield statement
            statement = []
            continue
        if token.kind == "operator":
            depth = max(0, depth + (token.text in "([{") - (token.text in ")]}"))
        statement.append(token)
    if statement:
        yield statement


def run_script(
    script: str, subject: str, lists: Mapping[str, Sequence[tuple[str, float]]], wanted: Sequence[str]
) -> Script:
    """Fields of the struct that a case function returns.

    Parameters
    ----------
    script, subject
        The text of the file, and its name for messages.
    lists
        Functions without arguments that return named constants, in order, such as ``idx_bus``.
    wanted
        Fields of the struct to evaluate; other fields are not.

    Raises
    ------
    DataError
        Malformed text, by line: unbalanced brackets, ragged matrices, unknown names, indices out of range.
    UnsupportedError
        A statement outside of this part of MATLAB, by line.
    """
    variables: dict[str, Value] = {}
    unread: dict[str, bool] = {}
    struct = "mpc"
    for statement in _statements(script):
        first = statement[0]
        if first.text == "function":
            if len(statement) > 2 and statement[2].text == "=":
                struct = statement[1].text
            continue
        if len(statement) == 1 and first.text in ("end", "return"):
            continue
        if len(statement) == 1 and first.text == "define_constants":
            variables |= {name: value for constants in lists.values() for name, value in constants}
            continue
        head, _, field = first.text.partition(".")
        if head == struct and field and field not in wanted:
            name = field.partition(".")[0]
            given = statement[[token.text for token in statement].index("=") + 1 :] if _assigns(statement) else []
            unread[name] = unread.get(name, False) or any(t.kind in ("number", "text", "name") for t in given)
            continue
        parser = _Statement(statement, subject, variables, lists)
        try:
            with np.errstate(all="ignore"):  # what is not finite is named by the checks of the case
                parser.run()
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise parser.bad(f"cannot be computed ({error})") from None
    fields = {name[len(struct) + 1 :]: value for name, value in variables.items() if name.startswith(f"{struct}.")}
    return Script(fields, unread)


def _assigns(statement: list[Token]) -> bool:
    return any(token.text == "=" for token in statement)


class _Statement:
    """Recursive descent over one assignment; ``in_matrix`` = white space separates elements here."""

    def __init__(
        self,
        tokens: list[Token],
        subject: str,
        variables: dict[str, Value],
        lists: Mapping[str, Sequence[tuple[str, float]]],
    ) -> None:
        self.tokens = tokens
        self.subject = subject
        self.variables = variables
        self.lists = lists
        self.position = 0
        self.in_matrix = False

    @property
    def next(self) -> Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else _END

    def take(self) -> Token:
        token = self.next
        self.position += 1
        return token

    def accept(self, *texts: str) -> bool:
        if self.next.kind == "operator" and self.next.text in texts:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.bad(f"expected {text!r}, found {self.next.text or 'the end of the statement'!r}")

    def _where(self) -> str:
        return f"line {(self.next if self.next.line else self.tokens[-1]).line}"

    def bad(self, reason: str) -> DataError:
        return DataError(self.subject, [f"{self._where()}: {reason}"])

    def unsupported(self) -> UnsupportedError:
        text = " ".join(t.text for t in self.tokens[:8] if t.kind != "newline")[:80]
        return UnsupportedError(
            f"{self.subject}, line {self.tokens[0].line}: {text!r} is not understood; learnopt reads assignments, "
            "matrices and arithmetic of case files. Load the case in MATPOWER and write it with savecase"
        )

    def run(self) -> None:
        """Execute the assignment."""
        if self.accept("["):
            self._assign_list()
            return
        target = self.take()
        if target.kind != "name":
            raise self.unsupported()
        index = self._arguments() if self.next.text == "(" else None
        if not self.accept("="):
            raise self.unsupported()
        value = self._range()
        if self.next is not _END:
            raise self.unsupported()
        if index is None:
            self.variables[target.text] = value
            return
        if isinstance(value, str) or target.text not in self.variables:
            raise self.bad(f"{target.text} has no value to change")
        matrix = np.array(self._matrix_of(target.text))
        where = self._locate(matrix, index)
        cells = matrix[where]
        if np.shape(value) not in ((), cells.shape):
            raise self.bad(f"{np.shape(value)} values do not fit into {cells.shape} cells of {target.text}")
        matrix[where] = value
        self.variables[target.text] = matrix

    def _assign_list(self) -> None:
        """``[A, B, ~] = idx_bus``."""
        names = []
        while not self.accept("]"):
            token = self.take()
            if token.kind == "name" or token.text == "~":
                names.append(token.text)
            elif token.text != ",":
                raise self.unsupported()
        if not self.accept("=") or self.next.text not in self.lists:
            raise self.unsupported()
        constants = self.lists[self.take().text]
        if len(names) > len(constants):
            raise self.bad(f"{len(names)} names for {len(constants)} values")
        self.variables |= {n: value for n, (_, value) in zip(names, constants, strict=False) if n != "~"}

    def _range(self) -> Value:
        start = self._sum()
        if not self.accept(":"):
            return start
        step, stop = 1.0, self._number(self._sum())
        if self.accept(":"):
            step, stop = stop, self._number(self._sum())
        start = self._number(start)
        if not (step != 0 and abs((stop - start) / step) < _LONGEST_RANGE):
            raise self.bad(f"the range {start:g}:{step:g}:{stop:g} is not finite")
        return np.arange(start, stop + step / 2, step)[None, :]

    def _sum(self) -> Value:
        value = self._product()
        while self.next.text in ("+", "-") and self.next.kind == "operator":
            following = self.tokens[self.position + 1] if self.position + 1 < len(self.tokens) else _END
            if self.in_matrix and self.next.spaced and not following.spaced:
                break  # [1 -2] has two elements
            sign = 1.0 if self.take().text == "+" else -1.0
            value = self._numeric(value) + sign * self._numeric(self._product())
        return value

    def _product(self) -> Value:
        value = self._unary()
        while self.next.kind == "operator" and self.next.text in ("*", "/", ".*", "./"):
            operator = self.take().text
            left, right = self._numeric(value), self._numeric(self._unary())
            if np.ndim(right) and (operator == "/" or (operator == "*" and np.ndim(left))):
                raise self.bad(f"the matrix operation {operator!r} is not supported; use '.{operator}'")
            value = left * right if "*" in operator else np.divide(left, right)
        return value

    def _unary(self) -> Value:
        if self.accept("-"):
            return -self._numeric(self._unary())
        if self.accept("+"):
            return self._unary()
        value = self._atom()
        while self.accept("^", ".^"):
            value = np.power(self._numeric(value), self._numeric(self._atom()))
        return value

    def _atom(self) -> Value:
        token = self.next
        if token.kind == "number":
            self.take()
            return float(token.text.lower().replace("d", "e"))
        if token.kind == "text":
            self.take()
            return token.text[1:-1]
        if token.kind == "name":
            return self._name()
        if self.accept("("):
            outer, self.in_matrix = self.in_matrix, False
            value = self._range()
            self.expect(")")
            self.in_matrix = outer
            return value
        if self.accept("["):
            return self._matrix()
        raise self.bad(f"a number or name is expected, found {token.text or 'the end of the statement'!r}")

    def _name(self) -> Value:
        name = self.take().text
        called = self.next.text == "(" and not (self.in_matrix and self.next.spaced)
        if name in self.variables:
            if not called:
                return self.variables[name]
            matrix = self._matrix_of(name)
            cells: Floats = matrix[self._locate(matrix, self._arguments())]
            return float(cells[0, 0]) if cells.size == 1 else cells
        if name in _FUNCTIONS and called:
            arguments = self._arguments()
            if len(arguments) != 1 or arguments[0] is None:
                raise self.bad(f"{name} takes one argument")
            return _FUNCTIONS[name](self._numeric(arguments[0]))
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        raise self.bad(f"{name} has no value and is not a function that learnopt knows ({', '.join(_FUNCTIONS)})")

    def _matrix(self) -> Value:
        outer, self.in_matrix = self.in_matrix, True
        rows: list[list[Value]] = [[]]
        lines = [self.next.line]
        cells = 0
        while not self.accept("]"):
            if self.next is _END:
                raise self.bad("a bracket [ is never closed")
            if self.next.kind == "newline" or self.next.text == ";":
                self.take()
                if rows[-1]:
                    rows.append([])
                    lines.append(self.next.line)
                else:
                    lines[-1] = self.next.line
            elif not self.accept(","):
                rows[-1].append(self._range())
                cells += np.size(rows[-1][-1])
                if cells > _MOST_CELLS:
                    raise self.bad(f"a matrix of more than {_MOST_CELLS} numbers is not read")
        self.in_matrix = outer
        rows = [row for row in rows if row]
        if len(rows) == 1 and len(rows[0]) == 1:
            return rows[0][0]
        blocks = [
            np.array(row, dtype=float)[None, :]
            if all(isinstance(v, float) for v in row)
            else np.hstack([np.atleast_2d(self._numeric(v)) for v in row])
            for row in rows
        ]
        for block, line in zip(blocks, lines, strict=False):
            if block.shape[1] != blocks[0].shape[1]:
                raise DataError(
                    self.subject,
                    [f"line {line}: this row has {block.shape[1]} numbers, the first one {blocks[0].shape[1]}"],
                )
        return np.vstack(blocks) if blocks else np.zeros((0, 0))

    def _arguments(self) -> list[Value | None]:
        """Arguments in parentheses; None stands for a lone colon."""
        outer, self.in_matrix = self.in_matrix, False
        self.expect("(")
        arguments: list[Value | None] = []
        while not self.accept(")"):
            arguments.append(None if self.accept(":") else self._range())
            if self.next.text != ")":
                self.expect(",")
        self.in_matrix = outer
        return arguments

    def _matrix_of(self, name: str) -> Floats:
        return np.atleast_2d(self._numeric(self.variables[name]))

    def _locate(self, matrix: Floats, index: list[Value | None]) -> tuple[Ints, Ints]:
        """Row and column indices, from 0, of ``matrix(rows, columns)``."""
        if len(index) != 2:
            raise self.bad(f"an index needs rows and columns, found {len(index)} arguments")
        places = []
        for wanted, size in zip(index, matrix.shape, strict=True):
            numbers = np.arange(1, size + 1) if wanted is None else np.ravel(self._numeric(wanted))
            for number in numbers:
                if not (1 <= number <= size and number == int(number)):
                    raise self.bad(f"index {number:g} is not a whole number from 1 to {size}")
            places.append(numbers.astype(np.int64) - 1)
        rows, columns = np.ix_(*places)
        return rows, columns

    def _numeric(self, value: Value) -> float | Floats:
        if isinstance(value, str):
            raise self.bad(f"{value!r} is text where a number is expected")
        return value

    def _number(self, value: Value) -> float:
        if isinstance(value, str) or np.ndim(value):
            raise self.bad("a single number is expected")
        return float(value)
