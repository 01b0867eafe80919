"""A file of rows answered: order and ids, kills at any byte, malformed rows, companions that change nothing."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.bounded_files import ROW
from harness.core.errors import DataError, UserError
from harness.data.template import Template
from harness.models.load import Loaded
from harness.serving.generator import Generator
from harness.serving.predict import predict_file
from tests.support.full_files import files_end_at
from tests.support.model_folders import folder_of
from tests.support.study_fixture import WORDS, Place, Places

TEXTS = [" ".join(WORDS[(i * 5 + j * (1 + i % 4)) % len(WORDS)] for j in range(2 + i % 17)) for i in range(40)]


@pytest.fixture(scope="module")
def generator(tiny: Callable[..., Loaded], tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """A model whose windows hold 12 rows."""
    prompt = Template("bare", "{{ source }}\n", shorten="source")
    return Generator(folder_of(tiny("gpt2"), tmp_path_factory.mktemp("bare"), prompt))


def write(file: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_their_order_and_ids_and_say_what_they_say_alone(generator: Generator, tmp_path: Path) -> None:
    ids: list[Any] = [7, "ü", 2.5, "row-1", *range(100, 136)]
    source = write(tmp_path / "in.jsonl", [{"id": i, "source": t} for i, t in zip(ids, TEXTS, strict=True)])
    tally = predict_file(generator, source, tmp_path / "out.jsonl", skip=False)
    assert tally == (40, 0, 0)
    found = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in found] == ids
    assert [row["prediction"] for row in found] == [generator([{"source": text}])[0] for text in TEXTS]
    assert {row["model"] for row in found} == {generator.digest}
    assert len({row["prediction"] for row in found}) > 5


def test_a_packed_file_is_read_and_a_torn_one_refused(generator: Generator, tmp_path: Path) -> None:
    rows = [{"id": i, "source": text} for i, text in enumerate(TEXTS)]
    plain, packed = write(tmp_path / "in.jsonl", rows), tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for source in (plain, packed):
        predict_file(generator, source, tmp_path / f"{source.name}.out", skip=False)
    assert (tmp_path / "in.jsonl.out").read_bytes() == (tmp_path / "in.jsonl.gz.out").read_bytes()
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(UserError, match="cannot read"):
        predict_file(generator, packed, tmp_path / "torn.out", skip=False)


def test_standard_input_is_read_like_a_file(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": i, "source": text} for i, text in enumerate(TEXTS)])
    predict_file(generator, source, tmp_path / "file.jsonl", skip=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    predict_file(generator, Path("-"), tmp_path / "piped.jsonl", skip=False)
    assert (tmp_path / "piped.jsonl").read_bytes() == (tmp_path / "file.jsonl").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x" * (ROW + 2))))
    with pytest.raises(UserError, match="line 1 is longer than"):
        predict_file(generator, Path("-"), tmp_path / "long.out", skip=False)


def test_rows_without_an_id_go_by_their_line(generator: Generator, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"source": "a"}, "", {"source": "b", "id": ""}, {"source": "c", "id": None}])
    predict_file(generator, source, tmp_path / "out.jsonl", skip=False)
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["row-1", "row-3", "row-4"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_kill_at_any_byte_changes_nothing(generator: Generator, tmp_path: Path, data: st.DataObject) -> None:
    source, whole = tmp_path / "in.jsonl", tmp_path / "whole.jsonl"
    if not whole.exists():
        rows: list[Any] = [{"id": f"ü{i}", "source": text} for i, text in enumerate(TEXTS[:14])]
        write(source, [*rows[:5], {"id": "bad"}, *rows[5:]])
        predict_file(generator, source, whole, skip=True)
    expected = whole.read_bytes()
    cut = data.draw(st.integers(0, len(expected)))
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(expected[:cut])
    tally = predict_file(generator, source, torn, skip=True)
    assert torn.read_bytes() == expected
    assert tally.found == expected[:cut].count(b"\n")
    assert tally.answered + tally.failed + tally.found == 15


def test_a_full_disk_is_told_and_the_same_command_goes_on(generator: Generator, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": i, "source": text} for i, text in enumerate(TEXTS)])
    predict_file(generator, source, tmp_path / "whole.jsonl", skip=False)
    expected = (tmp_path / "whole.jsonl").read_bytes()
    for room in (10, len(expected) // 3, len(expected) - 1):  # each ends in the middle of a line
        with files_end_at(room), pytest.raises(UserError, match="no file may grow that large"):
            predict_file(generator, source, tmp_path / "out.jsonl", skip=False)
        assert (tmp_path / "out.jsonl").read_bytes() == expected[:room]
    predict_file(generator, source, tmp_path / "out.jsonl", skip=False)
    assert (tmp_path / "out.jsonl").read_bytes() == expected


MALFORMED = {
    "no JSON": ('{"source": "a"', "no valid JSON"),
    "half a surrogate": ('{"source": "\\ud800"}', "no valid JSON"),
    "no object": ('["a"]', "must be an object"),
    "another column": ('{"sorce": "a"}', "did you mean 'sorce'"),
    "nothing": ('{"source": null}', "must not be empty"),
    "blank": ('{"source": "  "}', "must not be empty"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_row_stops_or_is_noted(kind: str, generator: Generator, tmp_path: Path) -> None:
    line, says = MALFORMED[kind]
    rows: list[Any] = [{"id": str(i), "source": text} for i, text in enumerate(TEXTS[:20])]
    source = write(tmp_path / "in.jsonl", [*rows[:15], line, *rows[15:]])
    with pytest.raises(DataError, match=r"in\.jsonl, row 16: ") as stopped:
        predict_file(generator, source, tmp_path / "stop.jsonl", skip=False)
    assert says in str(stopped.value)
    before = read(tmp_path / "stop.jsonl")
    assert [row["id"] for row in before] == [row["id"] for row in rows[:15]]
    tally = predict_file(generator, source, tmp_path / "skip.jsonl", skip=True)
    assert tally == (20, 1, 0)
    noted = read(tmp_path / "skip.jsonl")
    assert says in noted[15]["error"]
    assert "prediction" not in noted[15]
    assert noted[:15] == before
    write(source, [*rows[:15], {"id": "mended", "source": "a"}, *rows[15:]])
    assert predict_file(generator, source, tmp_path / "stop.jsonl", skip=False) == (6, 0, 15)


@pytest.mark.parametrize("ending", ["jsonl", "rows", "json", "csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
def test_every_encoding_that_training_finds_is_read_and_told(
    encoding: str, ending: str, generator: Generator, tmp_path: Path
) -> None:
    texts = ["Müller wählt €5", "a façade", "naïve"]
    written = {
        "json": json.dumps([{"source": text} for text in texts], ensure_ascii=False),
        "csv": "\n".join(["source;n", *(f"{text};1" for text in texts)]),
    }.get(ending, "\n".join(json.dumps({"source": text}, ensure_ascii=False) for text in texts))
    source, told = tmp_path / f"in.{ending}", list[str]()
    source.write_bytes(written.encode(encoding))
    assert predict_file(generator, source, tmp_path / "out.jsonl", skip=False, say=told.append) == (3, 0, 0)
    expected = [generator([{"source": text}])[0] for text in texts]
    assert [row["prediction"] for row in read(tmp_path / "out.jsonl")] == expected
    said = "if it is not, say --encoding."
    notes = [] if encoding.startswith("utf-8") else [f"in.{ending} is read as {encoding}; {said}"]
    notes += [f"in.{ending} has semicolons between its columns; if not, say --delimiter."] if ending == "csv" else []
    assert told == notes
    assert predict_file(generator, source, tmp_path / "out.jsonl", skip=False) == (0, 0, 3)


@pytest.mark.parametrize(
    ("name", "encoding", "delimiter"),
    [
        ("in.csv", "cp1251", None),
        ("in.csv", "shift-jis", "~"),
        ("in.tsv", "koi8-r", "\\t"),
        ("in.jsonl", "cp1251", None),
    ],
)
def test_what_cannot_be_found_is_said(
    name: str, encoding: str, delimiter: str | None, generator: Generator, tmp_path: Path
) -> None:
    """As a study says it in ``data``; found, these would be other letters, or one column."""
    text = "Привет мир"
    mark = {"\\t": "\t", None: ","}.get(delimiter, delimiter)
    whole = json.dumps({"source": text}, ensure_ascii=False) if "jsonl" in name else f"source{mark}x\n{text}{mark}y"
    source = tmp_path / name
    source.write_bytes(f"{whole}\n".encode(encoding))
    predict_file(generator, source, tmp_path / "out", skip=False, encoding=encoding, delimiter=delimiter)
    assert [row["prediction"] for row in read(tmp_path / "out")] == generator([{"source": text}])


def test_refusals_name_the_options(generator: Generator, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes("source,x\nこんにちは世界、お元気ですか,y\n".encode("shift-jis"))
    output = tmp_path / "out"
    for says, options in [
        ("or say --encoding", {}),
        ("--encoding 'utf8000' is none that Python knows", {"encoding": "utf8000"}),
        ("--delimiter is ';;'; it must be the one character", {"delimiter": ";;"}),
    ]:
        with pytest.raises(UserError, match=says):
            predict_file(generator, source, output, skip=False, **options)
    assert not output.exists()


def test_nan_is_no_value_as_in_training(generator: Generator, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"source": "a", "n": NaN}\n{"source": NaN}\n{"source": null}\n')
    assert predict_file(generator, source, tmp_path / "out.jsonl", skip=True) == (1, 2, 0)
    assert ["renders to" in row.get("error", "") for row in read(tmp_path / "out.jsonl")] == [False, True, True]


def test_bytes_that_are_no_text_spoil_one_row(generator: Generator, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"source": "a"}\n{"source": "\x81"}\n{"source": "b"}\n')
    assert predict_file(generator, source, tmp_path / "out.jsonl", skip=True) == (2, 1, 0)


def test_an_output_of_something_else_is_left_alone(
    generator: Generator, tiny: Callable[..., Loaded], tmp_path: Path
) -> None:
    source, output = write(tmp_path / "in.jsonl", [{"id": i, "source": "a"} for i in range(3)]), tmp_path / "out.jsonl"
    predict_file(generator, source, output, skip=False)
    done = output.read_bytes()
    write(source, [{"id": i, "source": "a"} for i in (0, 5, 2)])
    with pytest.raises(DataError, match=r"out\.jsonl, row 2: it has the id 1, the input has 5"):
        predict_file(generator, source, output, skip=False)
    write(source, [{"id": 0, "source": "a"}])
    with pytest.raises(DataError, match="the input has no such row"):
        predict_file(generator, source, output, skip=False)
    other = Generator(folder_of(tiny("gpt2"), tmp_path / "other", Template("cue", "{{ source }} TL;DR:", "source")))
    write(source, [{"id": i, "source": "a"} for i in range(3)])
    with pytest.raises(DataError, match="answered by model"):
        predict_file(other, source, output, skip=False)
    assert output.read_bytes() == done


def test_a_refused_command_leaves_no_output(generator: Generator, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": "no such field"}])
    with pytest.raises(DataError, match="row 1"):
        predict_file(generator, source, tmp_path / "out.jsonl", skip=False)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["out.csv", "out.PARQUET", "out.tsv", "out.jsonl.gz", "out.gz", "out.json"])
def test_an_output_is_called_what_it_is(name: str, generator: Generator, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"source": "a"}])
    with pytest.raises(UserError, match="answers are lines of JSON"):
        predict_file(generator, source, tmp_path / name, skip=False)
    assert not (tmp_path / name).exists()


def test_the_answers_to_other_rows_of_the_same_ids_are_refused(generator: Generator, tmp_path: Path) -> None:
    one, other = (write(tmp_path / f"{text}.jsonl", [{"source": text}, {"source": "b"}]) for text in ("a", "c"))
    output = tmp_path / "out.jsonl"
    assert predict_file(generator, one, output, skip=False) == (2, 0, 0)
    done = output.read_bytes()
    with pytest.raises(DataError, match=r"out\.jsonl, row 1: it answers another row than the input has there"):
        predict_file(generator, other, output, skip=False)
    assert predict_file(generator, one, output, skip=False) == (0, 0, 2)
    assert output.read_bytes() == done


def test_an_output_has_one_writer(generator: Generator, tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.jsonl", [{"source": "a"}]), tmp_path / "out.jsonl"
    with output.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"--output .*out\.jsonl is being written by another process"):
            predict_file(generator, source, output, skip=False)
        assert output.read_bytes() == b""
    assert predict_file(generator, source, output, skip=False) == (1, 0, 0)


@pytest.mark.parametrize("tail", [b"", b"\n"], ids=["no last newline", "whole"])
def test_a_file_that_is_no_output_keeps_every_byte(generator: Generator, tmp_path: Path, tail: bytes) -> None:
    source, other = tmp_path / "in.jsonl", tmp_path / "notes.jsonl"
    content = b'{"id": 0, "source": "a"}\n{"id": 1, "source": "b"}'
    source.write_bytes(content + tail)
    with pytest.raises(UserError, match=r"--output .*in\.jsonl is the --input itself; name another file"):
        predict_file(generator, source, source, skip=False)
    assert source.read_bytes() == content + tail
    for notes in (content, b'{"id": 0, "source": "a"}', b"a word", b'{"id": 0, "predictions": "mine"}'):
        other.write_bytes(notes + tail)
        with pytest.raises(DataError, match=r"notes\.jsonl, row 1: .*; write to another --output, or remove this one"):
            predict_file(generator, source, other, skip=False)
        assert other.read_bytes() == notes + tail


def test_a_prompt_of_other_fields_asks_for_these(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    prompt = Template("two", "{{ context }} {{ year }}: ", shorten="context")
    two = Generator(folder_of(tiny("gpt2"), tmp_path / "two", prompt))
    assert two.fields == ("context", "year")
    assert two([{"context": "a note", "year": 1999}]) == two([{"context": "a note", "year": "1999"}])
    with pytest.raises(DataError, match=r"row 2: column 'year' is missing.*row 3: column 'context' is missing"):
        two([{"context": "a", "year": 1}, {"context": "a"}, {"year": 2, "source": "a"}])


def test_rows_may_have_the_columns_of_the_study_or_of_the_prompt(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    """As in the study, a mapped column counts before one that is called like the field."""
    prompt = Template("two", "{{ context }} {{ year }}: ", shorten="context")
    mapping = {"context": "Ticket text"}
    two = Generator(folder_of(tiny("gpt2"), tmp_path / "two", prompt, mapping))
    (expected,) = two([{"context": "a note", "year": 1999}])
    assert two([{"Ticket text": "a note", "year": 1999}]) == [expected]
    assert two([{"Ticket text": "a note", "context": "quite another", "year": 1999}]) == [expected]
    message = r"column 'Ticket text' \(or 'context', as the prompt calls it\) is missing; did you mean 'ticket text'"
    with pytest.raises(DataError, match=message):
        two([{"ticket text": "a note", "year": 1999}])


def test_a_missing_input_is_the_users_to_change(generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent"):
        predict_file(generator, tmp_path / "absent.jsonl", tmp_path / "out.jsonl", skip=False)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.slow
def test_a_killed_command_goes_on(places: Places, tiny: Callable[..., Loaded]) -> None:
    place = places(store=False)
    prompt = Template("bare", "{{ source }}\n", shorten="source")
    folder_of(tiny("gpt2"), place.folder / "stored", prompt)
    rows = [{"id": i, "source": TEXTS[i % len(TEXTS)]} for i in range(600)]
    write(place.folder / "in.jsonl", rows)
    arguments = ("predict", "stored", "--input", "in.jsonl", "--output", "out.jsonl")
    output = place.folder / "out.jsonl"
    killed = _kill_when_it_has_begun(place, arguments, output)
    begun = output.read_bytes()
    done = place.command(*arguments)
    assert done.status == 0, done.err
    assert output.read_bytes().startswith(begun[: begun.rfind(b"\n") + 1])
    assert killed < 600
    assert f"{600 - killed} rows answered, {killed} were there" in done.out
    alone = Generator(place.folder / "stored")([{"source": text} for text in TEXTS])
    said = dict(zip(TEXTS, alone, strict=True))
    assert [row["prediction"] for row in read(output)] == [said[str(row["source"])] for row in rows]
    stopped = place.command("predict", "stored", "--input", "data/absent.jsonl", "--output", "o.jsonl")
    assert stopped.status == 2


def _kill_when_it_has_begun(place: Place, arguments: tuple[str, ...], output: Path) -> int:
    """Return how many whole lines a killed command left."""
    process = place.process(*arguments)
    end = time.monotonic() + 120
    while process.poll() is None and not (output.exists() and output.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return output.read_bytes().count(b"\n")
