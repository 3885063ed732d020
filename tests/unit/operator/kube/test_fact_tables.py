"""Tables tell what moved, whatever order events come in."""

from hypothesis import given
from hypothesis import strategies as st

from loadline_operator.kube.fact_tables import GONE_KEPT, FactTable, Groups
from loadline_operator.kube.kinds import Key

KEY = Key("", "row-a")


def table(**known: str) -> FactTable[str]:
    made: FactTable[str] = FactTable()
    for name, uid in known.items():
        made.put(Key("", name), uid=uid, version="1", fact="x")
    return made


def answered(table: FactTable[str], name: str, *, uid: str, version: str, fact: str = "x") -> bool:
    """An answer to our own write; whether it moved anything."""
    metadata = {"name": name, "uid": uid, "resourceVersion": version}
    return table.see_answer({"metadata": metadata}, read=lambda raw: fact)


def test_the_same_fact_again_moves_nothing() -> None:
    one: FactTable[str] = FactTable()
    assert one.put(KEY, uid="u", version="1", fact="x")
    assert not one.put(KEY, uid="u", version="2", fact="x")
    assert one.put(KEY, uid="u", version="3", fact="y")


def test_an_event_that_was_overtaken_is_passed_over() -> None:
    one: FactTable[str] = FactTable()
    one.put(KEY, uid="u", version="10", fact="new")
    assert not one.put(KEY, uid="u", version="9", fact="old")
    assert one.get(KEY) == "new"


def test_a_namesake_is_another_object() -> None:
    one = table(a="first")
    assert one.put(Key("", "a"), uid="second", version="1", fact="x")
    assert not one.drop(Key("", "a"), uid="first")
    assert one.get(Key("", "a")) == "x"


def test_an_answer_never_brings_back_what_an_event_has_told_gone() -> None:
    one = table(a="u")
    one.drop(Key("", "a"), uid="u")
    assert not answered(one, "a", uid="u", version="2", fact="x")
    assert Key("", "a") not in one


def test_an_event_may_since_kinds_and_rights_come_back() -> None:
    one = table(a="u")
    one.drop(Key("", "a"), uid="u")
    assert one.put(Key("", "a"), uid="u", version="1", fact="x")
    assert answered(one, "a", uid="u", version="2", fact="y")


def test_an_answer_may_come_before_the_first_event() -> None:
    one = table()
    assert answered(one, "row-a", uid="u", version="1", fact="x")
    assert not one.put(KEY, uid="u", version="1", fact="x")


def test_what_is_remembered_of_the_gone_is_bounded() -> None:
    one = table()
    for number in range(GONE_KEPT + 1):
        one.put(KEY, uid=str(number), version="1", fact="x")
        one.drop(KEY, uid=str(number))
    assert not answered(one, "row-a", uid="1", version="2", fact="x")
    assert answered(one, "row-a", uid="0", version="2", fact="x")


def test_an_unreadable_object_is_there_without_a_fact() -> None:
    one: FactTable[str] = FactTable()
    one.put(KEY, uid="u", version="1", fact=None)
    assert KEY in one
    assert list(one.facts()) == []


def test_what_is_gone_is_forgotten_and_what_is_new_stays() -> None:
    one = table(a="1", b="2", c="3")
    known = one.uids()
    one.put(Key("", "d"), uid="4", version="1", fact="x")  # comes after the listing was asked for
    one.put(Key("", "c"), uid="33", version="1", fact="x")  # is another than the one that was known
    assert one.forget_missing(known, {Key("", "a"): "1"}) == [Key("", "b")]
    assert sorted(one.uids()) == [Key("", "a"), Key("", "c"), Key("", "d")]


@given(st.permutations(range(1, 7)))
def test_the_newest_version_wins_in_any_order(versions: list[int]) -> None:
    one: FactTable[int] = FactTable()
    for version in versions:
        one.put(KEY, uid="u", version=str(version), fact=version)
    assert one.get(KEY) == 6


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "x", "y"]), st.booleans()), max_size=30)
)
def test_groups_are_what_a_look_at_everything_would_find(moves: list[tuple[str, str | None, bool]]) -> None:
    groups: Groups[str, str] = Groups(lambda key, fact: fact)
    for version, (name, fact, gone) in enumerate(moves):
        if gone:
            groups.drop(Key("", name), uid=name)
        else:
            groups.put(Key("", name), uid=name, version=str(version), fact=fact)
    for group in ("x", "y"):
        found = {key: fact for key in groups.uids() if (fact := groups.get(key)) == group}
        assert groups.of(group) == found
