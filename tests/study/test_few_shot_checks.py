"""What check says of prompts with demonstrations: keys, lengths, and what is no leak of a row's own target."""

from __future__ import annotations

import json

import pytest

from harness.study.cell_digests import cell_digests
from harness.study.check import check
from harness.study.load_study import read_study
from tests.support.study_fixture import Done, Place, Places, rows, write_rows

SHOWN = '{name: shown, text: "{{ source }} ->", shots: 3, pick: bm25}'


@pytest.fixture
def place(places: Places) -> Place:
    return places(store=False)


def checked(place: Place, prompt: str, *options: str) -> Done:
    return place.command("check", "study.yaml", "--set", f"prompts=[bare, {prompt}]", *options)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ('{name: p, text: "{{ source }}", shots: -1}', "prompts.1.shots is -1"),
        ('{name: p, text: "{{ source }}", pick: bm25}', "prompt 'p' has pick and no demonstrations; add shots: 4"),
        ('{name: p, text: "{{ source }}", shots: 2, pick: bm52}', "one of 'fixed', 'random', 'bm25', 'similar'"),
        ('{name: p, text: "{{ source }}", shot: 2, shots: 2, pick: bm25}', "prompts.1.shot is 2; it must be a text"),
        ('{name: p, user: "{{ source }}", shots: 2, separator: "x"}', "written by user, which knows no separator"),
        ('{name: p, text: "{{ source }}", shots: 2, shot: "{{ sourc }}"}', "field 'sourc' is undefined in its text"),
        ('{name: p, text: "{{ source }}", shots: 2, shot: "{{ target"}', "prompt 'p'"),
        (
            '{name: p, text: "{{ source }}", shots: 2, shot: "{{ source.upper }}"}',
            "address that changes from run to run",
        ),
        (
            '{name: p, text: "Sum up.", shots: 2, shot: "{{ source }}"}',
            "uses no field, so every row would get the same",
        ),
    ],
)
def test_a_mistake_is_answered(prompt: str, message: str, place: Place) -> None:
    done = checked(place, prompt)
    assert done.status == 2
    assert message in done.err


def test_lengths_hold_demonstrations_and_few_that_fit_are_a_caution(place: Place) -> None:
    plain, shown = (checked(place, SHOWN, "--set", f"training.max_source_tokens={limit}") for limit in (400, 48))
    assert plain.status == shown.status == 0, plain.err + shown.err
    assert "demonstrations of shown: 3.0 fit on average, 3 at least" in plain.out
    assert "asks for 3 demonstrations, and" not in plain.out
    assert "caution: prompt shown asks for 3 demonstrations, and" in shown.out
    assert "since no more fit in 48 tokens or differ enough" in " ".join(shown.out.split())
    (limit,) = {part.split(")")[0] for part in shown.out.split("max_source_tokens: ")[1:]}
    more = checked(place, SHOWN, "--set", f"training.max_source_tokens={limit}", "--json")
    assert not [line for line in json.loads(more.out)["cautions"] if "demonstrations" in line]
    told = {one["prompt"]: one for one in json.loads(more.out)["prompts"]}
    assert "shots" not in told["bare"]
    assert told["shown"]["least_shots"] <= told["shown"]["shots"] <= 3


def test_where_all_fit_more_rows_are_what_is_missing(place: Place) -> None:
    """To raise a limit within which all fit would change nothing."""
    done = checked(place, SHOWN, "--set", "data.train=3", "--set", "training.max_source_tokens=400")
    said = " ".join(done.out.split())
    assert "since no more training rows differ enough from the row: ask for fewer, or train on more rows." in said
    assert "(training.max_source_tokens:" not in said


def test_a_limit_that_the_context_lowers_is_no_remedy_alone(place: Place) -> None:
    text = SHOWN.replace("shots: 3", "shots: 8").replace("{{ source }}", "{{ source }} " + 20 * "and so on ", 1)
    said = " ".join(checked(place, text, "--set", "training.max_source_tokens=100").out.split())
    assert "the model's context of" in said.partition("asks for 8 demonstrations")[2].partition("caution")[0]


def test_a_target_that_a_demonstration_holds_is_no_leak(place: Place) -> None:
    for split in ("train", "validation", "test"):
        content = [{**row, "target": "yes" if number % 2 else "no"} for number, row in enumerate(rows(split))]
        write_rows(place.folder / "data" / f"{split}.jsonl", content)
    done = checked(place, SHOWN, "--set", "training.max_source_tokens=400")
    assert done.status == 0, done.err
    assert "holds the target" not in done.out


def test_what_changes_with_its_demonstrations_alone_is_constant(place: Place) -> None:
    prompt = "{name: p, text: \"{{ source | truncate(0, true, '', 0) }}Sum up:\", shots: 2, pick: random}"
    done = checked(place, prompt)
    assert done.status == 2
    assert "prompt 'p' renders the same text for every row" in done.err


def test_files_and_features_have_demonstrations(place: Place) -> None:
    (place.folder / "prompts").mkdir()
    head = "shots: 2\npick: bm25\nshot: '{{ source }} {{ arrow }} {{ target }}'\nfeatures: {arrow: ['=>', '->']}\n"
    (place.folder / "prompts" / "near.j2").write_text(f"---\n{head}---\n{{{{ source }}}} {{{{ arrow }}}}")
    place.edit("  - bare\n", "  - bare\n  - prompts/near.j2\n")
    found = check(read_study(place.study, ["training.max_source_tokens=400"]))
    prompts = [prompt for prompt in found.prompts if prompt.name.startswith("near")]
    assert [prompt.name for prompt in prompts] == ["near_arrow-0", "near_arrow-1"]
    for prompt, arrow in zip(prompts, ("=>", "->"), strict=True):
        (shown, *_) = found.demonstrations.attached(prompt, found.examples["validation"])
        assert prompt.render(shown.fields, shown.shots).count(f" {arrow}") == 3


def test_similar_is_measured_by_bm25_and_that_is_told(place: Place) -> None:
    assert "picks its demonstrations by the model's embeddings" in checked(place, SHOWN.replace("bm25", "similar")).out


def test_a_cell_is_known_by_its_demonstrations_and_others_by_what_they_were(place: Place) -> None:
    def digests(prompt: str) -> dict[str, str]:
        file = read_study(place.study, [f"prompts=[bare, {prompt}]", "tuning=[none]"])
        found = check(file)
        return cell_digests(found.cells, found.study, {"data": "d"})

    plain, none, other = (
        digests(f'{{name: shown, text: "{{{{ source }}}} ->"{keys}}}') for keys in ("", ", shots: 0", ", shots: 2")
    )
    assert plain == none
    assert plain["bare/none"] == other["bare/none"]
    assert plain["shown/none"] != other["shown/none"]
    assert other["shown/none"] != digests(SHOWN.replace("shots: 3", "shots: 2"))["shown/none"]
