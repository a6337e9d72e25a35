"""YAML of the user, read strictly: a key that stands twice is an error, and size and depth are bounded."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown

LONGEST_BYTES = 2**18
# With aliases a short text can stand for billions of values.
_MOST_VALUES, _DEEPEST = 20_000, 30


def parsed_yaml(text: str, what: str) -> Any:
    """The value that the YAML `text` stands for. UserError, which calls the text `what`, if it is not valid, has a key
    twice, or stands for too much."""
    try:
        value = yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{what} is not valid YAML: {' '.join(str(error).split())[:500]}") from error
    except RecursionError as error:
        raise UserError(f"{what} is nested too deeply: expected at most {_DEEPEST} levels") from error
    except Exception as error:  # values that do not fit their tag, such as the date 2001-99-99, raise a dozen types
        raise UserError(f"{what} is not valid YAML: a value is none of its kind ({error})"[:500]) from error
    _check_size(value, what)
    return value


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {shown(key.value)} stands twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _number_or_text(loader: _StrictLoader, node: yaml.ScalarNode) -> int | float | str:
    """YAML 1.1 reads 010 as eight and 1:30 as ninety, which no user means: those stay text."""
    if ":" in node.value or re.match(r"[-+]?0[0-9_]", node.value):
        return str(node.value)
    is_whole = node.tag == "tag:yaml.org,2002:int"
    return loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)


for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number_or_text)


# YAML 1.1 takes 5e-4, which has no point, for text.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _check_size(value: Any, what: str) -> None:
    left, num_values = [(value, 1)], 0
    while left:
        item, depth = left.pop()
        num_values += 1
        if depth > _DEEPEST:
            raise UserError(f"{what} is nested too deeply: expected at most {_DEEPEST} levels")
        if num_values > _MOST_VALUES:
            raise UserError(f"{what} stands for more than {_MOST_VALUES:,} values: is it a config?")
        if isinstance(item, dict):
            left += [(each, depth + 1) for each in item.values()]
        elif isinstance(item, (list, tuple, set)):
            left += [(each, depth + 1) for each in item]
