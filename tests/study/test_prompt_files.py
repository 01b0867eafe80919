"""Prompts in files: text behind a head of keys, or keys alone; part of the study from then on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.core.errors import StudyError
from harness.core.plain_yaml import yaml_text
from harness.data.template import Template
from harness.study.load_study import StudyFile, read_study
from harness.study.prompt_files import prompts_in

STUDY = "# Which?\nname: files\ntask: summarization\nprompts: {prompts}\ntuning: [head]\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder / "study.yaml"


def read(folder: Path, prompts: str, **files: str) -> StudyFile:
    return read_study(write(folder, study_yaml=STUDY.format(prompts=prompts), **files))


def said(folder: Path, prompts: str, **files: str) -> str:
    with pytest.raises(StudyError) as caught:
        read(folder, prompts, **files)
    (problem,) = caught.value.problems
    return str(problem)


def test_files_are_read_by_name_in_the_place_of_the_pattern(tmp_path: Path) -> None:
    head = "---\nshorten: source\nkeep: end\n---\nSum up: {{ source }}\n\nSummary:\n"
    kept = read(
        tmp_path,
        "[bare, 'prompts/*.j2', more.yaml, {name: last, text: '{{ source }}?'}]",
        prompts__b_j2="{{ source }}\r\n",
        prompts__a_j2=head,
        more_yaml="- {name: x, text: 'X {{ source }}'}\n- {text: 'Y {{ source }}'}\n",
    )
    forms = [prompt.form() for prompt in kept.study.prompts]
    assert [prompt.name for prompt in kept.study.prompts] == ["bare", "a", "b", "x", "more", "last"]
    assert forms[1:3] == [
        Template("a", "Sum up: {{ source }}\n\nSummary:", shorten="source", keep="end"),
        Template("b", "{{ source }}"),
    ]
    assert kept.place("prompts", 1, "text") == f"{tmp_path}/prompts/a.j2:1"
    assert kept.place("prompts", 5, "text") == f"{tmp_path}/study.yaml:4"


def test_what_is_stored_needs_no_file(tmp_path: Path) -> None:
    kept = read(tmp_path, "[p.j2]", p_j2="{{ source }} TL;DR:")
    elsewhere = tmp_path / "elsewhere" / "study.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(kept.text)
    assert read_study(elsewhere).study == kept.study
    assert kept.question == "Which?"


def test_a_base_brings_the_files_beside_it(tmp_path: Path) -> None:
    write(tmp_path, base__base_yaml=STUDY.format(prompts="[p.j2]"), base__p_j2="{{ source }} of the base")
    own = write(tmp_path, study_yaml="extends: base/base.yaml\nname: own\n", p_j2="{{ source }} of its own")
    assert [prompt.text for prompt in read_study(own).study.prompts] == ["{{ source }} of the base"]


@pytest.mark.parametrize(
    ("prompts", "files", "told"),
    [
        ("[gone.j2]", {}, "prompts[0] is 'gone.j2': there is no file"),
        ("[bare, 'p/*.j2']", {}, "prompts[1] is 'p/*.j2': no file is called 'p/*.j2' in"),
        ("[p.j2]", {"p_j2": "---\nshorten: [\n---\nx"}, "holds no valid YAML"),
        ("[p.j2]", {"p_j2": "---\njust words\n---\nx"}, "must have keys between its lines of dashes"),
        ("[p.j2]", {"p_j2": "---\ntext: a\n---\nx"}, "has a key text between its lines of dashes"),
        ("[p.j2]", {"p_j2": "---\nshorten: source\n{{ source }}"}, "begins with a line of dashes, and no second one"),
        ("[p.j2]", {"p_j2": "---\nkeep: end\nkeep: start\n---\nx"}, "p.j2 has the key 'keep' twice; keep one"),
        ("[p.yaml]", {"p_yaml": "- {name: a, text: x}\n- {name: b, text: x, text: y}"}, "has the key 'text' twice"),
        ("[p.yaml]", {"p_yaml": "words"}, "must hold the keys of a prompt, or a list of such"),
        ("[p.yaml]", {"p_yaml": "[]"}, "must hold the keys of a prompt, or a list of such"),
        (
            "[p.j2]",
            {"p_j2": "---\nshorte: source\n---\n{{ source }}"},
            "p.j2:1: unknown key 'shorte' in prompts.0; did you mean 'shorten'",
        ),
        ("[p.j2, {name: p, text: x}]", {"p_j2": "{{ source }}"}, "prompts names p more than once"),
    ],
)
def test_a_mistake_is_one_message(prompts: str, files: dict[str, str], told: str, tmp_path: Path) -> None:
    assert told in said(tmp_path, prompts, **files)


def test_another_encoding_is_told_with_the_remedy(tmp_path: Path) -> None:
    file = write(tmp_path, study_yaml=STUDY.format(prompts="[p.j2]"))
    (tmp_path / "p.j2").write_bytes("é {{ source }}".encode("latin-1"))
    with pytest.raises(StudyError, match=r"p\.j2 cannot be read as a prompt: it is no UTF-8; save it as such"):
        read_study(file)


def test_signs_of_patterns_may_stand_in_a_name(tmp_path: Path) -> None:
    study = read(tmp_path, "['p[1].j2']", **{"p[1]_j2": "---\nname: p\n---\n{{ source }}"}).study
    assert [prompt.name for prompt in study.prompts] == ["p"]


def test_a_pattern_finds_no_hidden_file_and_what_lies_deeper_by_two_stars(tmp_path: Path) -> None:
    files = {"prompts__a_j2": "{{ source }} A", "prompts__c__d_j2": "{{ source }} D"}
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / ".#a.j2").write_bytes(b"\xff")
    flat = read(tmp_path, "['prompts/*.j2']", **files).study
    assert [prompt.name for prompt in flat.prompts] == ["a"]
    deep = read(tmp_path, "['prompts/**/*.j2']", **files).study
    assert [prompt.name for prompt in deep.prompts] == ["a", "d"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["none", "lf", "crlf"])
def test_a_head_may_end_the_file(end: str, tmp_path: Path) -> None:
    (made,) = read(tmp_path, "[p.j2]", p_j2=f"---\nshorten: source\n---{end}").study.prompts
    assert (made.shorten, made.text) == ("source", "")


def test_an_override_names_no_file(tmp_path: Path) -> None:
    file = write(tmp_path, study_yaml=STUDY.format(prompts="[bare]"), p_j2="{{ source }}")
    with pytest.raises(StudyError, match=r"p\.j2 is a file of prompts, which is read where a study file names it"):
        read_study(file, ["prompts=[p.j2]"])


def test_python_reads_them_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, prompts__a_j2="{{ source }} A", prompts__b_j2="{{ source }} B")
    study = harness.Study(name="m", task="summarization", prompts=["bare", "prompts/*.j2"], tuning=["head"])
    assert [prompt.name for prompt in study.file.study.prompts] == ["bare", "a", "b"]
    with pytest.raises(StudyError, match=r"harness\.Study\(prompts\): there is no file gone\.j2"):
        harness.Study(name="m", task="summarization", prompts=["gone.j2"], tuning=["head"])


TEXTS = st.text(alphabet=st.sampled_from("ab -\n{}:'\"#é"), min_size=1, max_size=30)


@given(text=TEXTS, keep=st.sampled_from(["start", "end"]))
def test_a_file_says_what_the_same_keys_say(text: str, keep: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One line end closes the file; whatever else the text holds, lines of dashes among it, is the prompt's."""
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "a.j2").write_text(f"---\nkeep: {keep}\n---\n{text}\n")
    (folder / "b.yaml").write_text(yaml_text({"keep": keep, "text": text}))
    ((of_text, _),) = prompts_in("a.j2", folder)
    ((of_keys, _),) = prompts_in("b.yaml", folder)
    assert of_text == {"name": "a", "keep": keep, "text": text}
    assert of_keys == {"name": "b", "keep": keep, "text": text}
