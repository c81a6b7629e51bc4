"""CEL, as Kubernetes' AuthenticationConfiguration uses it: over the claims of a token, or over the user made of them.

Expressions are compiled and type-checked when the configuration is read. The library bounds the loops of an evaluation.
"""

from collections.abc import Mapping
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

EXPRESSION_LIMIT: Final = 4096
"""Characters of an expression."""


class Expression:
    """One expression over one variable."""

    def __init__(self, text: str, variable: str, *kinds: str) -> None:
        """`kinds` are the CEL types that the result may have (BOOL, STRING, LIST). Raises ValueError: what is wrong."""
        self.text = text
        self._variable = variable
        if not text or len(text) > EXPRESSION_LIMIT:
            raise ValueError(f"is a CEL expression of 1 to {EXPRESSION_LIMIT} characters")
        try:
            self._program = _environment(variable).compile(text)
        except RuntimeError as error:
            raise ValueError(f"is no CEL expression: {' '.join(str(error).split())}") from None
        kind = self._program.return_type().name().partition("<")[0]
        if kind != "DYN" and kind not in kinds:
            raise ValueError(f"is a CEL expression that gives {' or '.join(kinds)}, not {kind}")

    def __call__(self, value: Mapping[str, Any]) -> Any:
        """The result as plain values. Raises ValueError where the evaluation fails."""
        try:
            found = self._program.eval(data={self._variable: dict(value)})
        except RuntimeError as error:
            raise ValueError(f"{self.text}: {error}") from None
        if found.type().name() == "ERROR":
            raise ValueError(f"{self.text}: {found.plain_value()}")
        return found.plain_value()


def _environment(variable: str) -> cel.Env:
    kind = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables={variable: kind}, extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()])
