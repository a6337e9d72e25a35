"""What is to be said of a cloud, and how the advice in it names the settings that mend it."""

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Remark:
    """kind: the same for the same fault, such as "height". text: what was found and what is expected. advice: what to
    do where no setting helps. settings: {name: value} of those that mend it, spelled as the node's parameters are.
    is_certain: False for a guess. spoils_labels: whether labels of such a cloud are worthless, which is certain then.
    """

    kind: str
    text: str
    advice: str
    settings: dict[str, str] = field(default_factory=dict)
    is_certain: bool = True
    spoils_labels: bool = False


MOUNTING_SETTINGS = ("mounting_height", "mounting_roll", "mounting_pitch", "mounting_yaw")


@dataclass(frozen=True)
class Wording:
    """How a command or the node spells settings. known: those that it has. form: of one of them, with {name} as in an
    option, {parameter} as in a parameter, and {value}."""

    known: Collection[str] = ()
    form: str = "{parameter} {value}"

    def sentence(self, remark: Remark) -> str:
        """The remark with its advice, without a full stop."""
        named = [
            self.form.format(name=name.replace("_", "-"), parameter=name, value=value)
            for name, value in remark.settings.items()
            if name in self.known
        ]
        # Half of the settings that belong together would do harm.
        is_whole = named and len(named) == len(remark.settings)
        setting = f"{'' if remark.is_certain else 'perhaps '}set {', '.join(named)}" if is_whole else remark.advice
        return f"{remark.text}: {setting}"


def options(*known: str) -> Wording:
    """The wording of a command with the settings `known` as options."""
    return Wording(known, "--{name} {value}")


def parameters(*known: str) -> Wording:
    """The wording of the node with the settings `known` as parameters."""
    return Wording(known, "{parameter} to {value}")
