"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str) -> str:
    """ "1 scan", "2 scans", "123,389 points": `noun` is in the singular and forms its plural with s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
