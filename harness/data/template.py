"""Templates, the text form of a prompt: named text with ``{{ fields }}`` and a truncation contract.

The contract: one field, the one named by ``shorten``, may lose words until the rendered prompt fits. The
instruction, every other field and the target are never cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateRuntimeError, TemplateSyntaxError, meta, nodes

from harness.core.closest_match import closest
from harness.core.errors import TemplateError
from harness.core.example import Example, as_text
from harness.data.template_sandbox import WORK, Sandbox
from harness.data.tokenization import PromptForm, Reader, Row, prompt_ids, prompt_text, target_ids

__all__ = ["Keep", "Rendered", "Template", "is_plain"]

Keep = Literal["start", "end"]


class Rendered(NamedTuple):
    """A prompt made from one example."""

    text: str
    """What the model reads."""

    truncated: bool
    """Whether the field that may be shortened was."""


@dataclass(frozen=True)
class Template:
    """A named prompt template.

    Args:
        name: How study files, ids and tables call it.
        text: Jinja2 text; rendered in a sandbox, an undefined name is an error.
        shorten: The one field that may be shortened to fit; ``None``: nothing may.
        keep: Which part of that field stays: its start (articles) or its end (dialogues).
    """

    name: str
    text: str
    shorten: str | None = None
    keep: Keep = "start"

    def contract(self) -> dict[str, str]:
        """Return the truncation contract, where there is one."""
        return {"shorten": self.shorten, "keep": self.keep} if self.shorten else {}

    def names(self) -> frozenset[str]:
        """Return the fields that the text uses.

        Raises:
            TemplateError: The text is no valid Jinja2.
        """
        return _names(self.name, self.text)

    def validate(self, fields: Collection[str]) -> None:
        """Check the template against the names of fields that examples have; not each needs to have all of them.

        Raises:
            TemplateError: It uses a field that none has, or shortens one that it does not use.
        """
        used = self.names()
        for name in sorted(used - set(fields)):
            raise TemplateError(
                f"prompt {self.name!r}: field {name!r} is undefined in its text; {closest(name, fields)}; a column of "
                f"another name is mapped with data.columns: {{{name}: <its name>}}"
            )
        if self.shorten is not None and self.shorten not in used:
            raise TemplateError(
                f"prompt {self.name!r}: shorten names {self.shorten!r}, which its text does not use; "
                f"{closest(self.shorten, sorted(used))}"
            )

    def render(self, fields: Mapping[str, Any]) -> str:
        """Fill the fields in, with nothing shortened; what is shown of them is `as_text`.

        Raises:
            TemplateError: A field is undefined, or the text asks for what the sandbox forbids.
        """
        if (text := _joined(self.text, fields)) is not None:
            return text
        try:
            return _ENVIRONMENT.render(_compile(self.name, self.text), fields)
        except Exception as error:  # a filter may raise anything at a value that it was not made for
            reason = str(error) if isinstance(error, TemplateRuntimeError) else f"{type(error).__name__}: {error}"
            raise TemplateError(f"prompt {self.name!r}: {reason}; known fields: {', '.join(fields)}") from error

    def fit(self, fields: Mapping[str, Any], *, limit: int, count: Callable[[str], int]) -> Rendered:
        """Render within a number of tokens, shortening the one field that may be.

        Whole words are dropped where the field has spaces, characters where a single word is too long.

        Args:
            fields: The example's fields.
            limit: The most tokens that the rendered prompt may take.
            count: Tokens in a text, special tokens included.

        Raises:
            TemplateError: The prompt does not fit even with that field empty.
        """
        text = self.render(fields)
        if count(text) <= limit:
            return Rendered(text, truncated=False)
        low, high, best = 0, len(as_text(fields.get(self.shorten))) - 1 if self.shorten else -1, None
        while low <= high:
            middle = (low + high) // 2
            candidate = self.render(self._shortened(fields, middle))
            if count(candidate) <= limit:
                low, best = middle + 1, candidate
            else:
                high = middle - 1
        if best is None:
            rule = f"even with {self.shorten!r} empty" if self.shorten else "and names no field to shorten"
            raise TemplateError(
                f"prompt {self.name!r} takes {count(text)} tokens {rule}, over the limit of {limit}; "
                "raise training.max_source_tokens or shorten the instruction"
            )
        return Rendered(best, truncated=True)

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        """Return an example in token ids, its target whole, and the prompt as the model reads it.

        Raises:
            TemplateError: The prompt does not fit even with the shortened field empty.
        """

        def count(text: str) -> int:
            return len(prompt_ids(reader, prompt_text(reader, text)))

        rendered = self.fit(example.fields, limit=limit, count=count)
        text = prompt_text(reader, rendered.text)
        target = target_ids(reader, text, example.target)
        return Row(example.id, prompt_ids(reader, text), target, rendered.truncated), text

    def _shortened(self, fields: Mapping[str, Any], size: int) -> dict[str, Any]:
        """Return the fields with the shortened one cut to at most ``size`` characters, at a word's edge if any."""
        assert self.shorten is not None
        value = as_text(fields[self.shorten])
        if self.keep == "start":
            piece = value[:size]
            if not (value[size : size + 1].isspace() or piece[-1:].isspace()):
                piece = piece.rsplit(None, 1)[0] if len(piece.split()) > 1 else piece
            piece = piece.rstrip()
        else:
            piece = value[len(value) - size :]
            if not (value[: len(value) - size][-1:].isspace() or piece[:1].isspace()):
                piece = piece.split(None, 1)[1] if len(piece.split()) > 1 else piece
            piece = piece.lstrip()
        return {**fields, self.shorten: piece}


_ENVIRONMENT = Sandbox()


def is_plain(prompt: PromptForm) -> bool:
    """Return whether a prompt is text and fields alone, so that it renders alike wherever it is rendered.

    Raises:
        TemplateError: It is a template with no valid text.
    """
    if type(prompt) is not Template:
        return False
    prompt.names()
    return bool(_parts(prompt.text))


def _joined(text: str, fields: Mapping[str, Any]) -> str | None:
    """Return what a template of text and fields renders where the fields are texts; else ``None``: Jinja's to say."""
    values = [fields.get(part) if named else part for part, named in _parts(text)]
    texts = [value for value in values if type(value) is str]
    if not texts or len(texts) < len(values):
        return None
    joined = "".join(texts)
    return joined if len(joined) <= WORK and (joined.isascii() or _is_text(joined)) else None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _parts(text: str) -> tuple[tuple[str, bool], ...]:
    """Return the parts of a template of text and fields alone, and which are names of fields; of any other none."""
    try:
        outputs = _ENVIRONMENT.parse(text).body
    except (TemplateSyntaxError, RecursionError, SyntaxError, MemoryError):
        return ()
    parts = [part for output in outputs if isinstance(output, nodes.Output) for part in output.nodes]
    if not all(isinstance(output, nodes.Output) for output in outputs):
        return ()
    told = [_part(part) for part in parts]
    return () if None in told else tuple(part for part in told if part)


def _part(part: nodes.Node) -> tuple[str, bool] | None:
    """Return a text, or the name of a field and that it is one; ``None`` of anything else."""
    if isinstance(part, nodes.TemplateData):
        return part.data, False
    if isinstance(part, nodes.Name) and part.name != "self":  # which Jinja knows as the template
        return part.name, True
    return None


@cache
def _names(name: str, text: str) -> frozenset[str]:
    _compile(name, text)
    return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)))


@cache
def _compile(name: str, text: str) -> JinjaTemplate:
    try:
        return _ENVIRONMENT.compiled(text)
    except TemplateSyntaxError as error:
        raise TemplateError(f"prompt {name!r}: {error.message} on line {error.lineno} of its text") from error
    except (RecursionError, SyntaxError, MemoryError) as error:  # what Python itself says of code that is nested so
        raise TemplateError(f"prompt {name!r}: its text is nested too deep ({error}); simplify it") from error
