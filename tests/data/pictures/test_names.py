"""Names are compared in one Unicode form and escaped only where they are shown."""

import os
import unicodedata

import pytest

from knowbound.data.pictures.names import (
    closest_name,
    look_alikes,
    name_unknown,
    printable,
    same_name,
    storable,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.png", "plain.png"),
        ("Käse 絵 🚗.png", "Käse 絵 🚗.png"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that Persian needs
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("line\nend\t\x1b[31m", r"line\nend\t\x1b[31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),  # turns the direction of what follows
        (os.fsdecode(b"latin\xe9"), r"latin\udce9"),
    ],
)
def test_only_what_garbles_a_terminal_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_what_is_stored_is_as_written_and_can_be_encoded() -> None:
    for name in ("Käse\n絵", "می\u200cخ", unicodedata.normalize("NFD", "é")):
        assert storable(name) == name
    assert storable(os.fsdecode(b"a\xe9")) == r"a\udce9"
    storable(os.fsdecode(bytes(range(128, 256)))).encode()


def test_accents_together_or_apart_are_one_name() -> None:
    together, apart = "\u00e9", "e\u0301"
    assert together != apart
    assert same_name(together) == same_name(apart)
    assert same_name("A") != same_name("a")


def test_names_that_look_alike_are_found() -> None:
    names = ["cat", "Cat", "traffic light", "Traffic_Light", "dog", "traffic-lights"]
    assert look_alikes(names) == [("cat", "Cat"), ("traffic light", "Traffic_Light")]


def test_the_name_that_was_meant() -> None:
    known = ["d1", "d2", "stop sign"]
    assert closest_name("D2", known) == "d2"
    assert closest_name("Stop-Sign", known) == "stop sign"
    assert closest_name("stopsigns", known) == "stop sign"
    assert closest_name("bicycle", known) is None
    assert name_unknown(["D2", "bicycle"], known) == '"D2" (did you mean "d2"?), "bicycle"'
    assert name_unknown([f"x{k:04d}y" for k in range(9)], ["q"], most=2).endswith(" and 7 more")
