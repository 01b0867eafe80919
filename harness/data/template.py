"""Templates, the text form of a prompt: named text with ``{{ fields }}``, of which one field may be shortened."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateRuntimeError, TemplateSyntaxError, meta, nodes

from harness.core.closest_match import closest
from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.data.demonstrations import Pick
from harness.data.label_words import Answers, Calibration, Label
from harness.data.mask_field import FIELD as MASK
from harness.data.mask_field import SHOWN, mask_token, masked_row, plain_example, plain_fields
from harness.data.sentinel import FIELD, FIRST, filled_ids, sentinel_ids
from harness.data.shortening import Keep, fitted
from harness.data.template_sandbox import WORK, Sandbox
from harness.data.token_seam import anchored
from harness.data.tokenization import Ids, Reader, Row, prompt_ids, prompt_text, target_ids

__all__ = ["SEPARATOR", "Template", "refuse_names"]

NAMES = "; a field has a name of letters, digits and _: give a column that is called otherwise one by data.columns"
TARGET = "target"
"""What the text of a demonstration calls its row's answer."""
SEPARATOR = "\n\n"
_NO_NAME = re.compile("unexpected char|end of print statement")


@dataclass(frozen=True)
class Template:
    """A named prompt template.

    Args:
        name: How study files, ids and tables call it.
        text: Jinja2 text; rendered in a sandbox, an undefined name is an error. ``{{ sentinel }}`` is the place to fill
            of a T5-type model, ``{{ mask }}`` that of a masked one.
        shorten: The one field that may be shortened to fit; ``None``: nothing may.
        keep: Which part of that field stays: its start (articles) or its end (dialogues).
        shots: How many training rows stand before it as demonstrations, at most.
        pick: Which ones: the same for all rows, drawn for each row, or those with the nearest sources.
        shot: Jinja2 text of one, of that row's fields and ``target``; ``None``: this very text, then its answer.
        separator: Stands behind each.
        answers: How it is answered; ``None``: as its study or its task says.
        labels: Those that it is answered by, which a study works out.
        calibration: What is done to their probabilities; ``None``: nothing.

    >>> Template("cue", "{{ source }} TL;DR:", shorten="source").render({"source": "Ada takes train 7."})
    'Ada takes train 7. TL;DR:'
    """

    name: str
    text: str
    shorten: str | None = None
    keep: Keep = "start"
    shots: int = 0
    pick: Pick = "fixed"
    shot: str | None = None
    separator: str = SEPARATOR
    answers: Answers | None = None
    labels: tuple[Label, ...] = ()
    calibration: Calibration | None = None

    def contract(self) -> dict[str, str]:
        """Return the truncation contract, and what is said of demonstrations, where there are any."""
        cut = {"shorten": self.shorten, "keep": self.keep} if self.shorten else {}
        own = {"shot": self.shot} if self.shot is not None else {}
        shown = {"shots": str(self.shots), "pick": self.pick, "separator": self.separator, **own}
        return {**cut, **(shown if self.shots else {})}

    def names(self) -> frozenset[str]:
        """Return the fields of a row that the text uses; those of its demonstrations are theirs.

        Raises:
            TemplateError: The text, or that of demonstrations, is no valid Jinja2.
        """
        self.shown_names()
        return _names(self.name, self.text) - {FIELD, MASK}

    @property
    def is_cloze(self) -> bool:
        """Whether the text has the place to fill of a T5-type model, ``{{ sentinel }}``."""
        return FIELD in _names(self.name, self.text)

    @property
    def has_mask(self) -> bool:
        """Whether the text has the place to fill of a masked language model, ``{{ mask }}``."""
        return MASK in _names(self.name, self.text)

    def shown_names(self) -> frozenset[str]:
        """Return the fields of training rows that demonstrations show."""
        return _names(self.name, self.text if self.shot is None else self.shot) - {TARGET, FIELD, MASK}

    def validate(self, fields: Collection[str]) -> None:
        """Check the template against the names of fields that examples have; not each needs to have all of them.

        Raises:
            TemplateError: It uses a field that none has, or shortens one that it does not use.
        """
        refuse_names(self.name, self.names(), self.shorten, fields)
        if self.shots:
            refuse_names(self.name, self.shown_names(), None, fields)

    def render(self, fields: Mapping[str, Any], shots: Sequence[Example] = ()) -> str:
        """Fill the fields in, with nothing shortened, behind some demonstrations; what is shown of them is `as_text`.

        Raises:
            TemplateError: A field is undefined, or the text asks for what the sandbox forbids.
        """
        return self._written(fields, shots, SHOWN)

    def _written(self, fields: Mapping[str, Any], shots: Sequence[Example], mask: str) -> str:
        own = self._filled(fields, mask=mask)
        return self.separator.join([*map(self._demonstration, shots), own]) if shots else own

    def _demonstration(self, row: Example) -> str:
        """Return a training row with its answer, as training would write that behind it."""
        try:
            if self.shot is not None:
                return Template(self.name, self.shot).render({**row.fields, TARGET: row.target.strip()})
            if self.is_cloze:
                return self._filled(row.fields, sentinel=row.target.strip())
            if self.has_mask:
                return self._filled(row.fields, mask=row.target.strip())
            asked = self._filled(row.fields).rstrip(" \t")
        except TemplateError as error:
            raise TemplateError(f"training row {row.id!r} as a demonstration: {error}") from error
        anchor, joint = anchored(asked, row.target.strip())
        return f"{asked}{joint.removeprefix(anchor)}"

    def _filled(self, fields: Mapping[str, Any], sentinel: str = FIRST, mask: str = SHOWN) -> str:
        fields = {**fields, FIELD: sentinel} if self.is_cloze else fields
        fields = {**fields, MASK: mask} if self.has_mask else fields
        if (text := _joined(self.text, fields)) is not None:
            return text
        try:
            return _ENVIRONMENT.render(_compile(self.name, self.text), fields)
        except Exception as error:  # a filter may raise anything at a value that it was not made for
            reason = str(error) if isinstance(error, TemplateRuntimeError) else f"{type(error).__name__}: {error}"
            raise TemplateError(f"prompt {self.name!r}: {reason}; known fields: {', '.join(fields)}") from error

    def reads(self, fields: Mapping[str, Any], reader: Reader, shots: Sequence[Example] = ()) -> str:
        """Return the prompt as the model reads it, behind some demonstrations, with nothing shortened.

        Raises:
            TemplateError: A field is undefined, or the model fills no masks where the prompt has one.
        """
        if not reader.is_masked and not self.has_mask:
            return prompt_text(reader, self.render(fields, shots))
        mask = mask_token(self.name, reader)
        shots = [plain_example(shot, mask) for shot in shots]
        return prompt_text(reader, self._written(plain_fields(fields, mask), shots, mask))

    def ids(self, text: str, reader: Reader) -> Ids:
        """Return the ids of what `reads` gave."""
        return prompt_ids(reader, text)

    def ahead(self, example: Example, text: str, reader: Reader) -> tuple[list[str], list[str]]:
        """Return what `tokenize` has tokenized for an example that fits: with special tokens, and without."""
        target = example.target.strip()
        if reader.is_masked:  # the word behind a mask is short
            return [text], []
        return [text], [target if reader.is_encoder_decoder else anchored(text, target)[1]]

    def ends(self, reader: Reader) -> Ids:
        """Return the sentinel behind what fills a cloze, else no token: the model's own end token ends an answer.

        Raises:
            TemplateError: The prompt is a cloze, and the model has no sentinels.
        """
        return sentinel_ids(self.name, reader)[1:] if self.is_cloze else ()

    def is_plain(self) -> bool:
        """Return whether its texts are plain text and fields alone, so that they render alike wherever that is done.

        Raises:
            TemplateError: One is no valid Jinja2.
        """
        self.names()
        return all(_parts(text) for text in (self.text, self.shot) if text)

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        """Return an example in token ids, its target whole, and the prompt as the model reads it.

        Raises:
            LongPrompt: The prompt does not fit even with the shortened field empty.
        """
        asked = cache(lambda text: self._asked(example, text, reader))
        made = fitted(
            self,
            example,
            limit=limit,
            write=lambda fields, shots: self.reads(fields, reader, shots),
            count=lambda text: len(asked(text).prompt),
        )
        row = asked(made.text)._replace(truncated=made.truncated, shots=len(made.shots))
        if reader.is_masked:
            return row, made.text
        if self.is_cloze:
            target = filled_ids(self.name, reader, example.target)
        else:
            target = target_ids(reader, made.text, example.target)
        return row._replace(target=target), made.text

    def _asked(self, example: Example, text: str, reader: Reader) -> Row:
        """Return an example without its target, but for what the masks of a masked model hide."""
        row = Row(example.id, self.ids(text, reader), (), truncated=False)
        if not reader.is_masked:
            return row
        return masked_row(self.name, row, text, example.target.strip(), reader, has_mask=self.has_mask)


def refuse_names(name: str, used: Collection[str], shorten: str | None, fields: Collection[str]) -> None:
    """Refuse a prompt whose text uses a field that no example has, or shortens one that it does not use.

    Args:
        name: The prompt's.
        used: The fields that its text uses.
        shorten: The one that it shortens, if any.
        fields: Those that examples have.

    Raises:
        TemplateError: It does.
    """
    for field in sorted(set(used) - set(fields)):
        raise TemplateError(
            f"prompt {name!r}: field {field!r} is undefined in its text; {closest(field, fields)}; a column of "
            f"another name is mapped with data.columns: {{{field}: <its name>}}, or by the task's own example()"
        )
    if shorten is not None and shorten not in used:
        raise TemplateError(
            f"prompt {name!r}: shorten names {shorten!r}, which its text does not use; {closest(shorten, sorted(used))}"
        )


_ENVIRONMENT = Sandbox()


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
        fault = f"prompt {name!r}: {error.message} on line {error.lineno} of its text"
        raise TemplateError(fault + (NAMES if _NO_NAME.search(error.message or "") else "")) from error
    except (RecursionError, SyntaxError, MemoryError) as error:  # what Python itself says of code that is nested so
        raise TemplateError(f"prompt {name!r}: its text is nested too deep ({error}); simplify it") from error
