"""YAML that people write by mistake or by malice: refused in one line, with no more memory than the text is worth."""

import resource
from dataclasses import dataclass, field

import pytest

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import apply_overrides, filled, read_yaml

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 25))


@dataclass(frozen=True)
class Part:
    rate: float = 0.5


@dataclass(frozen=True)
class Config:
    count: int = 1
    names: tuple[str, ...] = ()
    part: Part = field(default_factory=Part)
    limit: float | None = None


def refusal(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        filled(Config, read_yaml(path))
    assert len(str(caught.value)) < 1200
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: 1\ncount: 2", "the key 'count' stands twice"),
        ("part: {rate: 1, rate: 2}", "the key 'rate' stands twice"),
        (LAUGHS, "stands for more than 20,000 values"),
        ("count: &a [*a]", "nested too deeply"),
        ("count: " + "[" * 100, "is not valid YAML"),
        ("count: " + "[" * 40 + "]" * 40, "nested too deeply"),
        ("count: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("count: 2001-99-99", "a value is none of its kind"),
        ("count: !!int x", "a value is none of its kind"),
        ("count: !!python/object/apply:os.system [true]", "is not valid YAML"),
        ("count: " + "9" * 5000, "a value is none of its kind"),
        ("count: " + "9" * 400, "at most 9223372036854775807"),
        ("count: 1.0e+300", "at most 9223372036854775807"),
        ("count: .inf", "expected a whole number"),
        ("count: .nan", "expected a whole number"),
        ("count: 007", "count is '007': expected a whole number"),
        ("count: 1:30", "count is '1:30'"),
        ("part: {rate: " + "9" * 400 + "}", "part.rate is"),
        ("part: {rate: 1e999}", "expected a finite number"),
        ("part: {1: 2}", "unknown config key 'part.1'"),
        ("part: {[1]: 2}", "is not valid YAML"),
        ("part: 3", "expected a section"),
        ("limit: [1]", "expected a number or null"),
        ("? " + "k" * 100_000 + "\n: 1", "unknown config key 'kkk"),
        ("count: " + "x" * 100_000, "count is 'xxx"),
        ("names: {a: 1}", "expected a list"),
        ("# " + "x" * 300_000, "is longer than 262,144 bytes"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"count: \x00", "is not valid YAML"),
        ("- 1", "expected 'key: value' lines"),
    ],
)
def test_each_is_refused_in_a_short_message(tmp_path, text, message):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert message in refusal(tmp_path, text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(UserError, match="is longer than"):
        read_yaml("/dev/zero")


def test_names_with_leading_zeros_stay_names(tmp_path):
    (tmp_path / "config.yaml").write_text("names: [00, 07, 08, 010, 11]")
    assert filled(Config, read_yaml(tmp_path / "config.yaml")).names == ("00", "07", "08", "010", "11")


def test_aliases_and_merged_sections_still_work(tmp_path):
    (tmp_path / "config.yaml").write_text("part: &p {rate: 2}\ncount: 3\n")
    assert filled(Config, read_yaml(tmp_path / "config.yaml")) == Config(3, (), Part(2.0))
    (tmp_path / "merged.yaml").write_text("a: &p {rate: 2}\npart: {<<: *p, rate: 3}\n")
    assert read_yaml(tmp_path / "merged.yaml")["part"] == {"rate": 3}


def test_overrides_are_read_as_strictly_and_change_no_dictionary_of_the_caller():
    values = {"part": {"deep": {"rate": 1}}}
    assert apply_overrides(values, ["part.deep.rate=2"])["part"]["deep"]["rate"] == 2
    assert values == {"part": {"deep": {"rate": 1}}}
    for override in ("count={a: 1, a: 2}", "count=&a [*a]", "count=" + "9" * 5000):
        with pytest.raises(UserError, match="the value of override"):
            apply_overrides({}, [override])
