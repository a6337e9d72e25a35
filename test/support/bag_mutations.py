"""Damage for bags, drawn by a seeded generator: what disks, networks, killed recorders and editors do to files."""

import random
import shutil
from pathlib import Path

import yaml

_LARGEST_BLOCK = 400


def damaged(bag: Path, folder: Path, generator: random.Random) -> Path:
    """A copy of the bag (a folder or a file) in `folder`, with one to three kinds of damage."""
    copy = folder / bag.name
    if copy.is_dir():
        shutil.rmtree(copy)
    if bag.is_dir():
        shutil.copytree(bag, copy)
    else:
        shutil.copy(bag, copy)
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        files = sorted(file for file in copy.iterdir() if file.is_file()) if copy.is_dir() else [copy]
        if not files:
            break
        file = generator.choice(files)
        if file.name == "metadata.yaml" and generator.random() < 0.7:
            _change_metadata(file, generator)
        elif copy.is_dir() and generator.random() < 0.03:
            file.unlink()
        else:
            file.write_bytes(generator.choice(_CHANGES)(bytearray(file.read_bytes()), generator))
    return copy


def _flip(content, generator):
    for _ in range(generator.choice((1, 1, 2, 8))):
        if content:
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    return content


def _cut(content, generator):
    return content[: generator.randrange(len(content) + 1)]


def _block(content, generator):
    start = generator.randrange(len(content) + 1)
    return slice(start, start + generator.randrange(1, _LARGEST_BLOCK))


def _zero(content, generator):
    block = _block(content, generator)
    content[block] = bytes(len(content[block]))
    return content


def _scramble(content, generator):
    block = _block(content, generator)
    content[block] = generator.randbytes(len(content[block]))
    return content


def _remove(content, generator):
    del content[_block(content, generator)]
    return content


def _repeat(content, generator):
    block = _block(content, generator)
    content[block] = content[block] * 2
    return content


def _swap(content, generator):
    one, other = _block(content, generator), _block(content, generator)
    content[one], content[other] = content[other], content[one]
    return content


_CHANGES = (_flip, _flip, _flip, _cut, _zero, _scramble, _remove, _repeat, _swap)


def _change_metadata(file, generator):
    """The first damage leaves nothing to change for the second one."""
    try:
        content = yaml.safe_load(file.read_bytes())
        facts = content["rosbag2_bagfile_information"]
        names, count = list(facts["relative_file_paths"]), int(facts["message_count"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return
    change = generator.randrange(5)
    if change == 0:
        facts["message_count"] = generator.choice((0, 1, count + 1, -5, "many", None))
    elif change == 1:
        facts["relative_file_paths"] = generator.choice((names[:-1], [*names, "more_9.mcap"], names[::-1], None, "x"))
    elif change == 2:
        del facts[generator.choice(sorted(facts))]
    elif change == 3:
        content = generator.choice(([], None, {"other": facts}, "text"))
    elif change == 4:
        facts["topics_with_message_count"] = generator.choice(([], None, [{"message_count": 99}]))
    file.write_text(yaml.safe_dump(content))
