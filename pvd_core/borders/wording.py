"""Numbers with their nouns."""


def counted(number, noun):
    """ "1 scan", "2 scans", "123,389 points": `noun` is in the singular and takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
