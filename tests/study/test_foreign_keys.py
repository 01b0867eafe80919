"""Names that keys have elsewhere are answered with ours, which are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.core.errors import StudyError
from harness.study.foreign_keys import FOREIGN_KEYS
from harness.study.key_messages import all_keys
from harness.study.load_study import read_study

KEYS = set(all_keys())
STUDY = {"name": "a", "task": "summarization", "prompts": ["bare"], "tuning": ["full"]}


def test_no_answer_names_a_key_that_is_none_or_answers_for_one_of_ours() -> None:
    named = {key for answer in FOREIGN_KEYS.values() for key in re.findall(r"'([a-z_.]+)'", answer)}
    assert named - KEYS == set()
    assert FOREIGN_KEYS.keys() & {key.rpartition(".")[2] for key in KEYS} == set()


def test_what_a_prompt_says_is_answered_with_keys_of_prompts() -> None:
    answers = {"num_fewshot": "prompts.shots", "system_prompt": "prompts.system"}
    answers |= {"chat_template_kwargs": "prompts.template_args", "apply_chat_template": "prompts"}
    assert {name: f"'{key}'" in FOREIGN_KEYS[name] for name, key in answers.items()} == dict.fromkeys(answers, True)


@pytest.mark.parametrize("name", list(FOREIGN_KEYS))
def test_a_key_of_another_tool_is_answered_wherever_it_stands(name: str, tmp_path: Path) -> None:
    for section, tree in {"the study": {**STUDY, name: 1}, "training": {**STUDY, "training": {name: 1}}}.items():
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        with pytest.raises(StudyError) as caught:
            read_study(file)
        (problem,) = caught.value.problems
        assert problem.message == f"unknown key {name!r} in {section}; {FOREIGN_KEYS[name]}"
