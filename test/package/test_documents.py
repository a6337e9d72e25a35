"""What the documents say agrees with the code: links, commands and their options, tables, paths."""

import ast
import json
import re
from pathlib import Path

import pytest
import typer
from test_architecture import ROOMS

from pvd_cli.main import COMMANDS, app
from pvd_core.clouds import SUFFIXES
from pvd_ros.codec import REASONS
from pvd_ros.node.parameters import SPECS
from pvd_ros.report.counters import CloudCounters
from training.simulate.sensor.sensors import SENSORS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_COMMANDS = [*PAGES, ROOT / "benchmarks/README.md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"(?:^|[ (])(?:pvd|-m pvd_cli) ([a-z][a-z-]*)([^;&|`]*)")
COMMENT = re.compile(r"\s#\s")
OPTION = re.compile(r"(?<=\s)--[a-z][a-z-]*")
# A line of the picture: indent, name, what it is, and after "on" what it may import.
PICTURED = re.compile(r"^( *)([\w/]+?)/?(?: {2,}\S.*?)??(?: {2,}on (.+))?$")
NAME = re.compile(r"[A-Za-z_]\w+(?:\.\w+)?")
# Words that stand for a path.
PATH = re.compile(r"[\w.-]+/[\w./-]*|[\w.-]+\.(?:py|md|yaml|xml|toml|png)")


def name_of(page):
    return str(page.relative_to(ROOT))


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page):
    return FENCED.sub("", text_of(page))


def anchor_of(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors_of(path):
    return {anchor_of(line.lstrip("#").strip()) for line in prose_of(path).splitlines() if line.startswith("#")}


def table_under(page, header):
    """Rows, as lists of cells, of the table whose first header cell is `header`."""
    lines = text_of(page).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_exist(page):
    missing = []
    for target in LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        if not found.exists() or (anchor and anchor not in anchors_of(found)):
            missing.append(target)
    assert missing == []


def test_every_page_is_reached_from_the_readme():
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in LINK.findall(prose_of("README.md"))}
    assert set(PAGES[1:]) <= linked


def commands_in(page):
    """(command, the rest of its line) of each `pvd ...` in the page's fenced blocks and code spans."""
    blocks = "".join(FENCED.findall(text_of(page))).replace("\\\n", " ").splitlines()
    spans = [span.replace("\n", " ") for span in INLINE.findall(prose_of(page))]
    return [found for line in [*blocks, *spans] for found in COMMAND.findall(COMMENT.split(line)[0])]


@pytest.fixture(scope="module")
def options_of_command():
    """{command: its options}, as typer's own parser has them."""
    commands = typer.main.get_command(app).commands
    return {name: {option for given in c.params for option in given.opts} | {"--help"} for name, c in commands.items()}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_and_their_options_exist(page, options_of_command):
    wrong = []
    for command, rest in commands_in(page):
        if command not in options_of_command or not set(OPTION.findall(rest)) <= options_of_command[command]:
            wrong.append(f"pvd {command}{rest}")
        wrong += [word for word in rest.split() if word.startswith("config/") and not (ROOT / word).exists()]
    assert wrong == []


def test_commands_are_found_in_the_documents():
    """So that the test above cannot pass because nothing was read."""
    found = {command for page in WITH_COMMANDS for command, _ in commands_in(page)}
    assert {"predict", "label-bag", "train", "distill", "simulate", "bench"} <= found


def test_readme_names_every_command():
    named = [INLINE.findall(row[0])[0] for row in table_under("README.md", "command")]
    assert sorted(named) == sorted(f"pvd {command.__name__.replace('_', '-')}" for command in COMMANDS)


def shown(value):
    """A default as the table writes it."""
    if isinstance(value, list):
        # ROS refuses integers in a list of floats.
        return f"[{', '.join(str(each) if isinstance(each, float) else shown(each) for each in value)}]"
    if isinstance(value, str):
        return value or '""'
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def range_of(spec):
    limits = ["{:g} to {:g}".format(*spec.limits)] if spec.limits else []
    return ", ".join([*spec.choices, *limits])


def test_table_of_parameters_is_that_of_the_node():
    rows = table_under("docs/ros2.md", "parameter")
    documented = [[name.strip("`"), default.strip("`"), limits, live] for name, default, limits, live, _ in rows]
    expected = [[spec.name, shown(spec.default), range_of(spec), "" if spec.read_only else "yes"] for spec in SPECS]
    assert documented == expected


def test_table_of_launch_arguments_is_that_of_the_launch_file():
    tree = ast.parse(text_of("launch/segment.launch.py"))
    (arguments,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS"
    )
    named = [row[0].strip("`") for row in table_under("docs/ros2.md", "argument")]
    assert named == [key.value for key in arguments.keys]


def test_tables_of_counters_and_reasons_are_complete():
    names = {name for row in table_under("docs/ros2.md", "counter") for name in INLINE.findall(row[0])}
    assert set(CloudCounters().as_numbers()) <= names
    reasons = [name for row in table_under("docs/ros2.md", "reason") for name in INLINE.findall(row[0])]
    assert reasons == list(REASONS)


@pytest.mark.parametrize("name", ["overload", "soak"])
def test_kept_runs_that_exceed_the_limit_of_latency_are_told_with_their_figure(name):
    found = json.loads((ROOT / f"benchmarks/node/{name}.json").read_text())["p99_over_processing"]
    text = " ".join(text_of("docs/ros2.md").split())
    assert f"{found:.2f}" in text
    assert (f"`make {name}` ([table](../benchmarks/node/{name}.md)) **does not hold" in text) == (found > 2)


def pictured_rooms():
    """{house: {room: what it may import}} of the picture, in the form of test_architecture.ROOMS."""
    (picture,) = FENCED.findall(text_of("docs/architecture.md"))
    tree = picture[picture.index("\npvd_core/") :]
    houses, house = {"": {}}, ""
    for indent, name, below in (PICTURED.match(line).groups() for line in tree.strip().splitlines()):
        if not indent:
            house = name.replace("/", ".")
        if below:
            inside = house if indent else ""
            houses.setdefault(inside, {})[name] = set(below.split()) - {"-"}
    return houses


def test_picture_of_the_house_has_the_rooms_and_the_order_that_imports_keep():
    expected = {house: {room: set(below.split()) for room, below in rooms.items()} for house, rooms in ROOMS.items()}
    assert pictured_rooms() == expected


def test_paths_named_in_the_architecture_exist():
    spans = [span for span in INLINE.findall(prose_of("docs/architecture.md")) if PATH.fullmatch(span)]
    assert len(spans) > 50, "the pattern finds too little"
    assert [span for span in spans if not (ROOT / span).exists()] == []


def sources_of(paths):
    """The text of these files, and of all Python files in these folders."""
    files = [file for path in paths for file in ((ROOT / path).rglob("*.py") if path.endswith("/") else [ROOT / path])]
    return "".join(file.read_text(encoding="utf-8") for file in files)


def test_names_that_tell_where_things_go_are_in_the_files_beside_them():
    unknown = []
    for thing, sentence in table_under("docs/architecture.md", "X"):
        spans = INLINE.findall(sentence)
        text = sources_of(span for span in spans if PATH.fullmatch(span))
        names = {span.rpartition(".")[2] for span in spans if NAME.fullmatch(span) and not PATH.fullmatch(span)}
        unknown += [f"{thing}: {name}" for name in sorted(names) if not re.search(rf"\b{name}\b", text)]
    assert unknown == []


def test_every_simulated_sensor_is_in_the_table_and_the_help():
    rows = [INLINE.search(row[0])[1] for row in table_under("docs/training.md", "sensor")]
    assert rows == list(SENSORS)
    helps = text_of("pvd_cli/commands/simulate.py")
    assert [name for name in SENSORS if name not in helps] == []


@pytest.mark.parametrize("command", ["adapt", "bench", "predict", "pseudo-label", "view"])
def test_every_kind_of_cloud_file_is_named_by_those_who_take_it(command):
    arguments = typer.main.get_command(app).commands[command].params
    assert any(", ".join(SUFFIXES) in (parameter.help or "") for parameter in arguments)
    for page in ("README.md", "docs/architecture.md"):
        assert " ".join(SUFFIXES) in text_of(page)
    assert ", ".join(SUFFIXES) in text_of("scripts/gpu/__main__.py")
