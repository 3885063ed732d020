"""Routing is read whole; what can't be replayed is refused with the name of its file and row."""

import gzip
import lzma
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from loadline_policies.errors import InvalidTrace
from loadline_sim.experts import excerpts, routing_files
from loadline_sim.experts.routings import Routing

HEADER = "sequence,token,layer,experts,weights\n"
GOOD = "a,1,1,3 0,0.5 0.25\na,1,2,1 2,0.5 0.25\n"


def table(text: str, *, experts: int | None = None) -> Routing:
    return routing_files.read_table(StringIO(HEADER + text), "mine.csv", experts=experts)


def folder(path: Path, **layers: str) -> Path:
    for number, text in layers.items():
        (path / f"expert_weights_{number.removeprefix('layer')}.txt").write_text(text, "utf-8")
    return path


def line(*ids: int) -> str:
    return "\t".join(map(str, ids)) + "\t\t" + "\t".join("0.1" for _ in ids) + "\n"


def test_a_table_has_its_ids_weights_and_requests() -> None:
    routing = table(GOOD + "b,7,1,0 1,1 0\nb,7,2,2 3,1 0\n")
    assert routing.ids.tolist() == [[[3, 0], [1, 2]], [[0, 1], [2, 3]]]
    assert routing.weights[1, 0].tolist() == [1.0, 0.0]
    assert (routing.sequence.tolist(), routing.layer_numbers, routing.experts) == ([0, 1], (1, 2), 4)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("b,1,1,-1 0,1 1\n", r"row 4 experts is -1: give a number that is not negative"),
        ("b,1,1,9 0,1 1\n", r"row 4 experts is 9: give ids below 4, `--experts`"),
        ("b,1,1,1 1,1 1\n", r"row 4 experts is '1 1': name each expert of a token once"),
        ("b,1,1,1.5 0,1 1\n", r"row 4 experts is '1.5': give whole numbers"),
        ("b,1,1,1 0,nan 1\n", r"row 4 weights is 'nan': give weights that are finite"),
        ("b,1,1,1 0,1 -0.5\n", r"row 4 weights is '-0.5': give weights that are finite and not negative"),
        ("b,1,1,1 0,much 1\n", r"row 4 weights is 'much': give weights that are numbers"),
        ("b,1,1,1 0,1\n", r"row 4 weights: the number of weights is 1: give one for each expert: 2"),
        ("b,1,1,,1 1\n", r"row 4 experts is '': fill the hole"),
        ("b,1\n", r"row 4 layer is null: fill the hole"),
        ("b,1,1,1 0,1 1\n", r"row 4 layers of token 1 is \[1\]: give every token the same layers, .* 1, 2"),
        ("b,1,2,1 0,1 1\nb,1,1,1 0,1 1\n", r"row 4 layers of token 1 is \[2, 1\]: .* ascending order"),
        (GOOD, r"row 2 layers of token 1 is \[1, 2, 1, 2\]: give each layer once"),
        ("b,1,1,1 0,1 1\nb,1,2,1,1\n", r"row 5 experts is '1': give as many experts as in the first row: 2"),
        (GOOD.replace("a,", "b,") + GOOD, r"row 6 sequence is 'a': keep a request's tokens together"),
        (GOOD.replace("a,1", "a,0"), r"row 4 token is 0: sort a request's tokens"),
    ],
    ids=["negative-id", "id-too-large", "id-twice", "fraction", "nan", "negative-weight", "no-weight",
         "too-few-weights", "hole", "short-row", "missing-layer", "unsorted-layers", "token-twice",
         "fewer-experts", "scattered-request", "unsorted-tokens"],
)  # fmt: skip
def test_a_bad_row_of_a_table_is_refused_by_its_number(rows: str, says: str) -> None:
    with pytest.raises(InvalidTrace, match=rf"^mine\.csv {says}"):
        table(GOOD + rows, experts=4)


def test_an_id_that_no_model_has_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(InvalidTrace, match="give ids below 4096, the most that is believed"):
        table("a,1,1,1000000000,1\n")


@pytest.mark.parametrize(
    ("text", "says"), [("a,b\n1,2\n", "name the columns sequence, token"), (HEADER, "at least one token")]
)
def test_a_file_without_routing_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidTrace, match=says):
        routing_files.read_table(StringIO(text), "mine.csv")


def test_packed_files_read_as_plain_ones(tmp_path: Path) -> None:
    text = (HEADER + GOOD).encode()
    for name, data in (("t.csv", text), ("t.csv.gz", gzip.compress(text)), ("t.csv.xz", lzma.compress(text))):
        (tmp_path / name).write_bytes(data)
        assert routing_files.read(tmp_path / name).ids.tolist() == [[[3, 0], [1, 2]]]


@pytest.mark.parametrize(
    ("name", "data"),
    [("t.csv.gz", b"no gzip"), ("t.csv.gz", gzip.compress(b"a" * 99)[:-9]), ("t.csv.xz", b"no xz"),
     ("t.csv", b"\xff\xfe"), ("t.csv", HEADER.encode() + b"a" * 200_000)],
    ids=["no-gzip", "cut-off", "no-xz", "no-utf-8", "too-long-a-field"],
)  # fmt: skip
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidTrace, match="give a CSV file in UTF-8, plain or packed by gzip or xz"):
        routing_files.read(tmp_path / name)


def test_the_first_tokens_of_a_routing() -> None:
    routing = routing_files.example().first(50)
    assert np.bincount(routing.sequence).tolist() == [40, 10]


def test_a_folder_has_a_file_for_each_layer_and_a_line_for_each_request(tmp_path: Path) -> None:
    first, second = range(6), range(6, 12)
    text = line(*first, *second) + line(*second)
    routing = routing_files.read(folder(tmp_path, layer2=text, layer10=text))
    assert (routing.layer_numbers, routing.sequence.tolist()) == ((2, 10), [0, 0, 1])
    assert routing.ids[1].tolist() == [list(second), list(second)]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (line(*range(6)), r"expert_weights_2.txt: the number of rows is 1: give as many as expert_weights_1"),
        (line(*range(6)) + line(*range(12)), r"_2.txt row 2: the number of tokens is 2: .*row 2 has: 1"),
        (line(*range(5)), r"_2.txt row 1: the number of experts is 5: give 6 for each token"),
        ("\n", r"_2.txt row 1: the number of experts is 0"),
        (line(*range(6)).replace("0.1", "nan"), r"_2.txt row 1 weights is 'nan'"),
        (line(*range(60, 66)), r"_2.txt row 1, token 1, experts is 64: give ids below 64"),
        (line(0, 1, 2, 3, 4, 4), r"_2.txt row 1, token 1, experts is '0 1 2 3 4 4': name each expert"),
        ("", r"_2.txt: the number of rows is 0: give one for each request"),
    ],
    ids=["fewer-rows", "more-tokens", "no-multiple", "empty-row", "nan", "id-too-large", "id-twice", "empty"],
)
def test_a_bad_row_of_a_folder_is_refused_by_file_and_number(tmp_path: Path, second: str, says: str) -> None:
    good = line(*range(6)) + line(*range(6))
    with pytest.raises(InvalidTrace, match=says):
        routing_files.read(folder(tmp_path, layer1=good, layer2=second), experts=64)


def test_a_folder_without_routing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrace, match=r"expert_weights_N\.txt is 0: name the folder of one task"):
        routing_files.read(tmp_path)


def test_the_example_is_as_its_readme_says() -> None:
    routing = routing_files.example()
    assert (routing.tokens, routing.layers, routing.experts_per_token, routing.experts) == (960, 26, 6, 64)
    assert np.bincount(routing.sequence).tolist() == [excerpts.KEPT] * excerpts.SEQUENCES


def test_an_excerpt_is_read_as_it_was_cut() -> None:
    routing = routing_files.example()
    long = replace(routing, sequence=np.repeat(np.arange(8), 120))
    cut = routing_files.read_table(StringIO(excerpts.cut(long)), "cut.csv", experts=64)
    kept = np.concatenate([np.arange(64, 104) + 120 * i for i in range(8)])
    assert (cut.ids == routing.ids[kept]).all()
    assert (cut.weights == routing.weights[kept]).all()
