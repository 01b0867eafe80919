"""Reading a study file: YAML with line numbers, every problem reported at once, misspelt names answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.core.environment_names import resolved, values_of
from harness.core.errors import Problem, StudyError
from harness.core.passwords import addresses_in, masked
from harness.core.plain_yaml import cut
from harness.study.key_messages import findings
from harness.study.overrides import apply_overrides, dotted_name, is_set
from harness.study.spec import ComparedModel, StudySpec
from harness.study.study_paths import Placed, moved_paths, placed
from harness.study.study_tree import Key, Keys, Line, StudyTree, dumped, opening_comment, read_tree
from harness.tracking.address import StudyAddress, store_uri

__all__ = ["StudyFile", "read_study"]


@dataclass(frozen=True)
class StudyFile:
    """A study and where it came from."""

    study: StudySpec
    """As it is written; what is stored of a study is this."""
    path: Path
    text: str
    """The file as written; of one that extends another, what both say, resolved. This is stored."""
    overrides: tuple[str, ...]
    """What the command line set, as ``key.sub=value``."""
    lines: dict[Keys, Line]
    """Where every key stands: in the file, or in one that it extends."""
    folder: Path
    """Where its relative paths start."""
    working: Path = Path()
    """Where those of the command line do."""
    one_of: int | None = None
    """The place in ``models`` of the one that the study is restricted to; ``None``: it is restricted to none."""

    @property
    def memory(self) -> Mapping[str, str]:
        """The files of its rows that came from memory, by split: none of a study that was read."""
        return {}

    @property
    def question(self) -> str:
        """The comment that opens the file, without its marks."""
        lines = (line.lstrip("#").strip() for line in opening_comment(self.text))
        return " ".join(line for line in lines if line)

    @cached_property
    def resolved(self) -> StudySpec:
        """The study with what each ``${NAME}`` of its model and data stands for, its paths from the working folder.

        Raises:
            UnsetName: The environment has no such name.
        """
        return self.placed.study

    @cached_property
    def placed(self) -> Placed:
        """The same, and which paths were found in the place that is tried second."""
        spec, sections = self.study, dict[str, Any]()
        for name, section in {"model": spec.model, "data": spec.data}.items():
            said = section.model_dump(exclude_unset=True)  # `null` that is written may mean more than none
            if (now := resolved(said, name)) != said:
                sections[name] = type(section).model_validate(now)
        if spec.models:
            each = [resolved(model.model_dump(exclude_unset=True), "models") for model in spec.models]
            sections["models"] = tuple(map(ComparedModel.model_validate, each))
        found = placed(spec.model_copy(update=sections), self.folder, self.is_set, self.working)
        # What is asked of the study as a whole is asked of its first model.
        first = {"model": found.study.models[0].alone} if spec.models else {}
        return found._replace(study=found.study.model_copy(update=first))

    def of_model(self, place: int) -> StudyFile:
        """Return the study of one of its models alone."""
        return replace(self, study=self.study.of_model(place), one_of=place)

    def is_set(self, keys: Keys) -> bool:
        """Return whether the command line gave a key its value."""
        return is_set(self.written(keys), self.overrides)

    def written(self, keys: Keys) -> Keys:
        """Return the keys under which the file has something: the model is one of several where it is restricted."""
        return ("models", self.one_of, *keys[1:]) if self.one_of is not None and keys[:1] == ("model",) else keys

    @cached_property
    def addresses(self) -> list[str]:
        """The addresses that it names, itself or by the environment: whose passwords no message may quote."""
        return addresses_in([self.study.model_dump(), values_of(self.text), values_of(" ".join(self.overrides))])

    @property
    def address(self) -> StudyAddress:
        """Where its runs are: as the study says, before the environment does.

        Raises:
            UnsetName: The environment lacks a ``${NAME}`` of it.
            StoreError: The store is a database whose driver is not installed.
        """
        said = type(self.study.tracking).model_validate(resolved(self.study.tracking.model_dump(), "tracking"))
        spec = self.study.model_copy(update={"tracking": said})
        study = placed(spec, self.folder, self.is_set, self.working).study
        return StudyAddress(study.name, study.tracking.experiment or study.name, store_uri(study.tracking.uri))

    def place(self, *keys: Key) -> str:
        """Return ``file:line`` of a key, or of the nearest one around it that the file has."""
        return _place(self.path, self.lines, self.overrides, self.written(keys))


def read_study(
    path: Path, overrides: Sequence[str] = (), *, folder: Path | None = None, working: Path = Path()
) -> StudyFile:
    """Read and validate a study file, with all that it extends.

    Args:
        path: The file.
        overrides: ``key.sub=value`` each, the value in YAML; applied before validation.
        folder: Where its relative paths start; left out: where it is.
        working: Where those of the overrides start; left out: at the working folder.

    Raises:
        StudyError: All that is wrong with it.
    """
    tree, own = read_tree(path), folder or path.parent
    study = _validated(tree, overrides)
    text = tree.text
    if len(tree.files) > 1:
        text, study = _resolved(tree, overrides, study, own)
    return StudyFile(study, path, text, tuple(overrides), tree.lines, own, working)


def _validated(tree: StudyTree, overrides: Sequence[str]) -> StudySpec:
    values = deepcopy(tree.values)
    apply_overrides(values, overrides)
    try:
        return StudySpec.model_validate(values)
    except ValidationError as error:
        problems, known = _problems(error, tree, tuple(overrides)), addresses_in(values)
        raise StudyError([problem._replace(message=masked(problem.message, *known)) for problem in problems]) from None


def _resolved(tree: StudyTree, overrides: Sequence[str], study: StudySpec, folder: Path) -> tuple[str, StudySpec]:
    """Return the text and the study that say the same without what they extend, every path from the study's folder."""

    def folder_of(keys: Keys) -> Path:
        return folder if is_set(keys, overrides) else _line(tree.lines, keys).file.parent

    values = deepcopy(tree.values)
    for keys, path in moved_paths(study, folder, folder_of).items():
        node: Any = values
        *above, last = keys
        for number, key in enumerate(above):
            if isinstance(node[key], str):  # a section that is written as its name alone
                above, last = above[:number], key
                break
            node = node[key]
        node[last] = path
    return dumped(values, opening_comment(tree.text)), _validated(tree._replace(values=values), overrides)


def _place(path: Path, lines: dict[Keys, Line], overrides: Sequence[str], keys: Keys) -> str:
    dotted = ".".join(str(key) for key in keys)
    for override in overrides:
        if is_set(keys, [override]) or (keys not in lines and dotted_name(override).startswith(f"{dotted}.")):
            return f"override {cut(override)}"
    while keys not in lines:
        keys = keys[:-1]
    if not keys:
        return str(path)
    section = ".".join(str(key) for key in keys)
    inside = [f" with override {cut(one)}" for one in overrides if dotted_name(one).startswith(f"{section}.")]
    return f"{lines[keys]}" + "".join(inside)


def _line(lines: dict[Keys, Line], keys: Keys) -> Line:
    while keys not in lines:
        keys = keys[:-1]
    return lines[keys]


def _problems(error: ValidationError, tree: StudyTree, overrides: tuple[str, ...]) -> list[Problem]:
    """Turn pydantic's findings into problems, in the order of the file, then of those that it extends."""
    problems = []
    for keys, sentence in findings(error):
        line = _line(tree.lines, keys)
        place = _place(tree.files[0], tree.lines, overrides, keys)
        problems.append((tree.files.index(line.file), line.number, Problem(place, sentence)))
    return [problem for *_, problem in sorted(problems, key=lambda pair: pair[:2])]
