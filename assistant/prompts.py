"""PromptTemplate and FewShotPrompt: text with named gaps. Parsed once; values are data and are never parsed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import PromptError

# Read from left to right: {{name}} is a name in braces, {name} a gap, every other brace itself, so that JSON can stand
# in a template.
_GAP = re.compile(r"\{\{([^\W\d]\w*)\}\}|\{([^\W\d]\w*)\}")


class PromptTemplate:
    """A text with gaps: `PromptTemplate("Translate {text} into {language}").format(text="hola", language="English")`.

    Only `{identifier}` is a gap; `{{name}}` gives `{name}`; any other brace is literal. What is filled in comes out
    as it is, whatever it holds. Values are strings, or anything with a sensible str().
    """

    def __init__(self, template: str, *, bound: Mapping[str, Any] | None = None) -> None:
        self.template = template
        self._bound = dict(bound or {})
        # Texts and names in turn: text, name, text, name, …, text.
        self._parts: list[str] = []
        text = ""
        end = 0
        for match in _GAP.finditer(template):
            text += template[end : match.start()]
            end = match.end()
            if match[1] is not None:
                text += f"{{{match[1]}}}"
            else:
                self._parts += [text, match[2]]
                text = ""
        self._parts.append(text + template[end:])

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> PromptTemplate:
        """Reads a UTF-8 file. Raises PromptError where it can't be read."""
        try:
            return cls(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"The prompt file {path} can't be read: {error}") from error

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._parts[1::2]))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names still to be given, in the order of their first appearance."""
        return tuple(name for name in self._names if name not in self._bound)

    def format(self, **values: Any) -> str:
        """The finished text. Raises one PromptError that names every missing and every unknown name."""
        self._check(values, complete=True)
        given = {**self._bound, **values}
        parts = list(self._parts)
        parts[1::2] = [str(given[name]) for name in self._parts[1::2]]
        return "".join(parts)

    def partial(self, **values: Any) -> PromptTemplate:
        """The same template with some gaps filled. Raises PromptError for unknown names."""
        self._check(values, complete=False)
        return PromptTemplate(self.template, bound={**self._bound, **values})

    def _check(self, values: Mapping[str, Any], *, complete: bool) -> None:
        missing = [name for name in self.variables if name not in values] if complete else []
        unknown = [name for name in values if name not in self._names]
        said = []
        if missing:
            said.append("missing: " + ", ".join(missing))
        if unknown:
            said.append("unknown: " + ", ".join(unknown))
        if said:
            names = ", ".join(self._names) or "none"
            raise PromptError(
                "The template and its values do not fit; " + "; ".join(said) + ".", hint=f"Its variables are: {names}."
            )

    def label_before(self, name: str) -> str | None:
        """The label right before a gap ("Human:" in "…\\n\\nHuman: {input}"); None where there is none."""
        for text, gap in zip(self._parts[::2], self._parts[1::2], strict=False):
            if gap == name:
                match = re.search(r"(?:^|\n)[ \t]*([^\n:]{1,40}:)\s*$", text)
                return match[1].strip() if match else None
        return None

    def to_dict(self) -> dict[str, Any]:
        return {"template": self.template, "bound": {name: str(value) for name, value in self._bound.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PromptTemplate:
        return cls(data["template"], bound=data["bound"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PromptTemplate):
            return NotImplemented
        return (self.template, self._bound) == (other.template, other._bound)

    def __hash__(self) -> int:
        return hash(self.template)

    def __repr__(self) -> str:
        return f"PromptTemplate({self.template!r})"


_EXAMPLE = PromptTemplate("<example>\n{input}\n\n{output}\n</example>")
_CASE = PromptTemplate("{input}")


@dataclass(frozen=True)
class FewShotPrompt:
    """An instruction, examples, and the case at hand: a zero-, one- or n-shot prompt.

    `examples` are mappings that fill `example`'s gaps (by default `input` and `output`); `case` is the template of
    the case at hand, whose gaps are this prompt's variables. The instruction is a plain text without gaps. Parts are
    joined by an empty line.

        FewShotPrompt("Which language is it?", [{"input": "hola", "output": "Spanish"}]).format(input="bonjour")
    """

    instruction: str
    examples: Sequence[Mapping[str, Any]] = ()
    example: PromptTemplate = _EXAMPLE
    case: PromptTemplate = _CASE

    def __post_init__(self) -> None:
        for name in ("example", "case"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, PromptTemplate(getattr(self, name)))
        # A wrong example is said here, where it was written, and not at the first format().
        object.__setattr__(self, "_shown", [self.example.format(**example) for example in self.examples])

    @property
    def variables(self) -> tuple[str, ...]:
        return self.case.variables

    def format(self, **values: Any) -> str:
        """The finished text. Raises PromptError for missing and unknown names."""
        case = self.case.format(**values)
        shown: list[str] = getattr(self, "_shown")  # noqa: B009 - set in __post_init__ of a frozen class
        return "\n\n".join([self.instruction, *shown, case])

    def shots(self, count: int) -> FewShotPrompt:
        """The same prompt with the first `count` examples, from 0 to all of them."""
        if not 0 <= count <= len(self.examples):
            raise PromptError(f"There are {len(self.examples)} examples; {count} were asked for.")
        return replace(self, examples=self.examples[:count])
