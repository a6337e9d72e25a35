"""Numbers with their nouns."""

from pvd_core.borders.wording import counted


def test_one_is_singular_and_thousands_are_grouped():
    assert [counted(number, "scan") for number in (0, 1, 2, 1234)] == ["0 scans", "1 scan", "2 scans", "1,234 scans"]
