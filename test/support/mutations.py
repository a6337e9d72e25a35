"""Small seeded mutations of bytes and of nested values, for fuzzers."""

import copy

NASTY = (
    None, True, False, -1, 0, 1, 2, 17, 0.5, -1e9, 1e308, 10**9, 10**18, 10**30, float("nan"), float("inf"), "", "x",
    "R3", "00", "nan", "../..", "a" * 500, [], {}, [1], ["x"], [[]], {"x": 1}, [2] * 40, ["car"] * 20, [10**9] * 3,
    {"shape": [10**6] * 3}, "cylinder3d-1x", "as_trained",
)  # fmt: skip


def mutated_bytes(random, content):
    """`content` cut, or with some bits flipped, or with a piece of it moved, doubled or blanked."""
    kind = random.choice(("cut", "flip", "flip", "flip", "blank", "double", "swap"))
    # Headers are short; half of the mutations hit the first thousands of bytes.
    start = random.randrange(min(len(content), random.choice((8, 4000, len(content)))))
    stop = min(len(content), start + random.choice((1, 4, 64, 1000)))
    if kind == "cut":
        return content[:start]
    if kind == "blank":
        return content[:start] + bytes(stop - start) + content[stop:]
    if kind == "double":
        return content[:stop] + content[start:]
    if kind == "swap":
        return content[:start] + content[start:stop][::-1] + content[stop:]
    result = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5))):
        result[random.randrange(start, stop)] ^= 1 << random.randrange(8)
    return bytes(result)


def mutated_value(random, value):
    """A copy of nested dictionaries and lists with one entry deleted, renamed, added, doubled or replaced."""
    result = copy.deepcopy(value)
    parent = random.choice([each for each in _containers(result) if each])
    key = random.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    kind = random.choice(("delete", "rename", "replace", "replace", "replace", "wrap", "grow", "other"))
    nasty = copy.deepcopy(random.choice(NASTY))
    if kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[random.choice((f"{key}x", str(key)[1:], str(key).upper(), ""))] = parent.pop(key)
    elif kind == "grow" and isinstance(parent, list):
        parent += copy.deepcopy(parent) * random.choice((1, 3, 50))
    elif kind == "grow":
        parent["new"] = nasty
    elif kind == "wrap":
        parent[key] = random.choice(([parent[key]], {"x": parent[key]}, str(parent[key])))
    elif kind == "other" and isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
        parent[key] = parent[key] * random.choice((-1, 2, 1000, 1e9, 0)) + random.choice((0, 1, 0.5))
    else:
        parent[key] = nasty
    return result


def _containers(value):
    """All dictionaries and lists in a nested value."""
    if isinstance(value, dict):
        return [value, *(inner for each in value.values() for inner in _containers(each))]
    if isinstance(value, list):
        return [value, *(inner for each in value for inner in _containers(each))]
    return []
