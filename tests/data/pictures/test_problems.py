"""Problems of one kind come in one line, with their number and the first of them."""

from knowbound.data.pictures.problems import Problem, group_problems


def test_ten_thousand_files_of_one_kind_are_one_line() -> None:
    problems = [Problem(f"data/{k}.json", "not a picture", used=False) for k in range(10_000)]
    (group,) = group_problems(problems)
    assert str(group) == "10,000 .json files left out, the first data/0.json: not a picture"
    assert (group.count, group.used, group.suffix) == (10_000, False, ".json")


def test_kinds_differ_by_reason_ending_and_fate_but_not_by_numbers_and_names() -> None:
    problems = [
        Problem("a.csv", "line 3 of a.csv gives no class", used=False),
        Problem("1.GIF", "animated: only its first of 3 frames is used", used=True),
        Problem("b.csv", "line 77 of a.csv gives no class", used=False),
        Problem("2.gif", "animated: only its first of 1,200 frames is used", used=True),
        Problem("3.png", "animated: only its first of 3 frames is used", used=True),
        Problem("4.gif", "empty: the file has 0 bytes", used=False),
    ]
    groups = group_problems(problems)
    assert [group.count for group in groups] == [2, 2, 1, 1]
    assert str(groups[1]).startswith("2 .gif files used with a remark, the first 1.GIF: animated")
    assert str(groups[2]) == "3.png: animated: only its first of 3 frames is used"
    assert sum(group.count for group in groups) == len(problems)
    assert group_problems([]) == ()


def test_a_line_is_a_line_whatever_the_name() -> None:
    assert str(Problem("a\nb", "is\nbad", used=False)) == r"a\nb: is\nbad"
    pair = group_problems([Problem("a\nb", "x", used=False), Problem("c", "x", used=False)])
    assert str(pair[0]) == r"2 files left out, the first a\nb: x"
