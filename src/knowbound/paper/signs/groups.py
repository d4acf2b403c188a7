"""Which Tsinghua sign classes look alike, and why: the groups that a restricted split keeps whole
(Section 4.2).

The paper groups the classes "that are too similar" and shows its groups only as a picture (Figure
2), so these are not its groups but ours, made by looking at the crops of every class.  Two classes
are in one group where their signs have the same shape and frame and differ only in their digits, in
the direction of the symbol (mirrored, turned), in one small mark, or in the outline of one kind of
object, so that a blurred crop of one may pass for the other. A usable class that no group names
stands alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Classes that look alike, and the reason in words."""

    name: str
    classes: tuple[str, ...]
    reason: str


ALONE = "no other usable class has its shape, frame and symbol"

SHOWS = {  # what stands alone, in words
    "i2": "a white bicycle on a blue disc",
    "i4": "a white car seen from the front on a blue disc",
    "ip": "a person on a crossing in a white triangle on a blue square",
    "p1": "two arrows, one bent around the other, under a red bar in a red ring",
    "p9": "a walking person under a red bar in a red ring",
    "p11": "a horn under a red bar in a red ring",
    "pb": "an empty red ring",
    "pg": "a red triangle on its tip with one Chinese character",
    "pn": "a red cross on a blue disc",
    "pne": "a white bar on a red disc",
    "ps": "a red octagon with one Chinese character",
    "w3": "trees and houses in a yellow triangle",
    "w30": "one Chinese character in a yellow triangle",
    "w47": "two lines that come closer, in a yellow triangle",
    "w63": "an exclamation mark in a yellow triangle",
}

LOOK_ALIKES = (
    LookAlikes(
        "numbers in a ring",
        (
            *(f"pl{speed}" for speed in (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120)),
            *(f"pm{tonnes}" for tonnes in (10, 20, 30, 55)),
            *(f"pr{speed}" for speed in (20, 30, 40, 50, 60)),
        ),
        "a large number in a ring on white: speed limits (pl) differ only in their digits, weight "
        "limits (pm) add a small t (pl20 and pm20, pl30 and pm30), ends of a limit (pr) show the "
        "limit's own number with a thin bar, the ring black",
    ),
    LookAlikes(
        "lowest speeds",
        ("il50", "il60", "il80", "il90", "il100", "il110"),
        "a white number on a blue disc; they differ only in their digits",
    ),
    LookAlikes(
        "height limits",
        ("ph3", "ph4", "ph4.2", "ph4.5", "ph5"),
        "a number with m between two black wedges in a red ring; they differ only in their digits",
    ),
    LookAlikes(
        "axle load limits",
        ("pa13", "pa14"),
        "a number with t above an axle in a red ring; they differ in one digit",
    ),
    LookAlikes(
        "direction arrows",
        ("i5", "i10", "i12", "i13"),
        "one white arrow on a blue disc; they differ only in where it points, i10 and i12 are "
        "mirrored",
    ),
    LookAlikes(
        "no turning",
        ("p5", "p14", "p19", "p23"),
        "one black arrow under a red bar in a red ring; they differ in where it points, p19 and "
        "p23 are mirrored",
    ),
    LookAlikes(
        "no vehicles, from the side",
        ("p3", "p18", "p22", "p25", "p26"),
        "a black car, bus, lorry or tractor from the side under a red bar in a red ring; they "
        "differ in its outline",
    ),
    LookAlikes(
        "no vehicles, from the front",
        ("p10", "p27"),
        "a black car seen from the front under a red bar in a red ring; p27 adds the flames of "
        "dangerous goods",
    ),
    LookAlikes(
        "no cycles",
        ("p6", "p12", "p16", "p17"),
        "a bicycle, motorcycle or tricycle from the side, mostly with its rider, under a red bar "
        "in a red ring",
    ),
    LookAlikes(
        "junctions",
        ("w13", "w22", "w58", "w59"),
        "thick black lines that meet in a yellow triangle; w58 and w59 are mirrored, w13 has one "
        "arm more than w22",
    ),
    LookAlikes(
        "people",
        ("w32", "w55", "w57"),
        "black figures of people in a yellow triangle: at work, children, on a crossing",
    ),
)


def groups_of(classes: Sequence[str]) -> tuple[LookAlikes, ...]:
    """The given classes in their groups: those that look alike first, then each of the others
    alone."""
    named = [
        LookAlikes(
            group.name, tuple(name for name in group.classes if name in classes), group.reason
        )
        for group in LOOK_ALIKES
    ]
    grouped = {name for group in named for name in group.classes}
    alone = [LookAlikes(name, (name,), _why_alone(name)) for name in classes if name not in grouped]
    return (*(group for group in named if group.classes), *alone)


def _why_alone(name: str) -> str:
    return f"{SHOWS[name]}; {ALONE}" if name in SHOWS else ALONE
