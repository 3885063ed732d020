"""
Policy documents as nobody should write them: known ones that once hurt, and any number of generated ones.

Each known one made a coordinator or the operator hang, swell or die (`findings` of a review, on c331ef4),
or is of the same kinds: what stands for more than it is, what YAML's library raises for other reasons
than that it is no YAML, what looks like another type, what is deep, long or wide.
"""

from collections.abc import Mapping
from random import Random
from typing import Final

HEAD: Final = "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: polca\n"
SETTING: Final = f"{HEAD}settings: {{threshold1Percent: %s}}\n"
KIB: Final = 1024


def bomb(depth: int, *, width: int = 9, value: str = "x") -> str:
    """A document of some 40 × depth bytes that stands for width ** depth values."""
    lines = [f"x0: &x0 [{','.join([value] * width)}]"]
    lines += [f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * width)}]" for i in range(1, depth)]
    return HEAD + "\n".join([*lines, f"a: *x{depth - 1}", ""])


def _nested(opening: str, closing: str, depth: int) -> str:
    return f"{HEAD}settings: {opening * depth}1{closing * depth}\n"


_SCALARS: Final = {
    "a date of the 45th": "2024-13-45",
    "a date that there isn't": "2024-02-31",
    "a time of the 99th hour": "2024-01-01 99:00:00",
    "a number of 5,000 digits": "9" * 5000,
    "a number of 33 digits": "9" * 33,
    "a fraction of 5,000 digits": "0." + "9" * 5000,
    "a hexadecimal of 5,000 digits": "0x" + "f" * 5000,
    "a binary of 5,000 digits": "0b" + "1" * 5000,
    "base 60 of 2,000 places": ":".join(["59"] * 2000),
    "base 60": "1:30",
    "not a number": ".nan",
    "infinity": ".inf",
    "beyond a double": "1.0e+400",
    "a number with a tag, without a digit": "!!int ''",
    "a number with a tag, in words": "!!int abc",
    "a fraction with a tag, in words": "!!float abc",
    "a boolean with a tag, in words": "!!bool abc",
    "a time with a tag, in words": "!!timestamp abc",
    "bytes that are none": "!!binary '%%%'",
    "null with a tag, in words": "!!null abc",
    "a set": "!!set {a}",
    "an ordered map": "!!omap [a: 1]",
    "pairs": "!!pairs [a: 1]",
    "a tag of Python's": "!!python/object/apply:os.system [ls]",
    "a tag of its own": "!loadline x",
    "a tag that isn't declared": "!a!b x",
    "itself": "&a [*a]",
    "an alias of nothing": "*nowhere",
    "half a surrogate": '"\\ud800"',
    "the last plane": '"\\U0010ffff"',
    "beyond the last plane": '"\\U00110000"',
    "a megabyte of quotes": "'" + "''" * 500_000 + "'",
}

KNOWN: Final[Mapping[str, str]] = {
    **{name: SETTING % value for name, value in _SCALARS.items()},
    **{f"a bomb of {depth} levels": bomb(depth) for depth in (3, 7, 8, 9, 10, 40)},
    "a bomb of mappings": HEAD + "a: &a {b: &b {c: &c {d: 1}}}\ne: {f: *a, g: *a, h: *b}\n",
    "a bomb of merges": HEAD + "a: &a {b: 1}\nc: &c {<<: [*a, *a, *a]}\nd: {<<: [*c, *c, *c]}\n",
    "a merge of itself": HEAD + "a: &a {<<: *a}\n",
    "a merge of a number": HEAD + "a: {<<: 1}\n",
    "lists 5,000 deep": _nested("[", "]", 5000),
    "lists 17 deep": _nested("[", "]", 17),
    "mappings 2,000 deep": _nested("{a: ", "}", 2000),
    "dashes 5,000 deep": HEAD + "settings:\n  " + "- " * 5000 + "1\n",
    "question marks": HEAD + "? " * 5000 + "1\n",
    "a list of 500,000": HEAD + "settings: [" + "1," * 500_000 + "]\n",
    "a list of 7,000": HEAD + "settings: [" + "1," * 7000 + "]\n",
    "70,000 settings": HEAD + "settings:\n" + "".join(f"  k{i}: {i}\n" for i in range(70_000)),
    "900 settings": HEAD + "settings:\n" + "".join(f"  k{i}: {i}\n" for i in range(480)),
    "a megabyte of comments": HEAD + ("# " + "x" * 97 + "\n") * 10_400,
    "a key of 15 KiB": HEAD + f"settings: {{{'k' * 15 * KIB}: 1}}\n",
    "a value of 15 KiB": HEAD + f"settings: {{brakeHerz: {'é' * 7 * KIB}}}\n",
    "a policy of 15 KiB": HEAD.replace("polca", "p" * 15 * KIB),
    "keys of four kinds": HEAD + "1: 2\nnull: 3\n1.5: 4\ntrue: 5\n",
    "a list for a key": HEAD + "? [a, b]\n: 4\n",
    "a mapping for a key": HEAD + "? {a: b}\n: 4\n",
    "a key twice": HEAD + "settings: {threshold1Percent: 80, threshold1Percent: 70}\n",
    "a list for the schema": HEAD.replace("policies.loadline.dev/v1alpha1", "[1]"),
    "a mapping for the loop": HEAD.replace("power", "{a: 1}"),
    "a list for the policy": HEAD.replace("polca", "[polca]"),
    "a list for the settings": HEAD + "settings: [1]\n",
    "a number for the document": "1\n",
    "nothing": "",
    "two documents": HEAD + "---\n" + HEAD,
    "two hundred documents": "---\n".join([HEAD] * 200),
    "a directive": "%YAML 9.9\n---\n" + HEAD,
    "a zero": HEAD + "note: \x00\n",
    "a bell": HEAD + "note: \x07\n",
    "a tab for indentation": HEAD + "settings:\n\tthreshold1Percent: 80\n",
    "what isn't closed": HEAD + "settings: [",
    "a quote that isn't closed": HEAD + "note: '" + "x" * 10 * KIB,
    "an anchor of 15 KiB": HEAD + f"note: &{'a' * 15 * KIB} 1\n",
}
"""By name; every one of them is to be refused."""

_PIECES: Final = (
    *(HEAD, "settings:\n", "  threshold1Percent: ", "a: ", "- ", "? ", ": ", "\n", "  ", "    "),
    *("[", "]", "{", "}", ",", "&a ", "*a", "<<: ", "!!int ", "!!timestamp ", "!x ", "'", '"', "|\n", ">-\n"),
    *(
        "#",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "~",
        "yes",
        "null",
        "=",
        "1",
        "-",
        ".5",
        "e9",
        ".inf",
        ".nan",
        "0b",
    ),
    *("0x", "1:30", "2024-13-45", "é", "\t", "\x00", "\x85", "\u2028", "\ufeff", "\U0001f600", "\\ud800"),
    *("9" * 40, "x" * 100, "[" * 20, "k: {" * 9),
)


def generated(seed: int) -> str:
    """A document at random: pieces of YAML, or a known one with some of its characters changed."""
    random = Random(seed)
    if random.random() < 0.5:
        text = "".join(random.choices(_PIECES, k=random.randint(1, 120)))
    else:
        changed = list(random.choice(sorted(KNOWN.values()))[: 20 * KIB]) or [" "]
        for _ in range(random.randint(1, 8)):
            changed[random.randrange(len(changed))] = random.choice(_PIECES)
        text = "".join(changed)
    return text * random.choice((1, 1, 1, 30))
