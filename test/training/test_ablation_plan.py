"""Grids of trainings: which runs a grid file asks for, with which settings, and mistakes in it."""

import pytest
from tiny_grid import command, grid_file

from pvd_cli.main import run
from pvd_core import shipped_weights
from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import read_yaml
from training.ablation.grid import read_grid
from training.ablation.plan import make_plan


def test_rows_of_a_seed_start_from_its_student_and_see_scans_in_another_order_for_as_many_steps(tmp_path):
    plan = make_plan(read_grid(grid_file(tmp_path)), "data", tmp_path)
    assert [each.name for each in plan.runs] == [
        f"seed{seed}/{row}" for seed in (0, 1) for row in ("teacher", "pretrained", "student", "pvd")
    ]
    teacher, pretrained, student, pvd = plan.runs[4:]
    first = str(pretrained.folder / "last.safetensors")
    assert student.config.initial_weights == pvd.config.initial_weights == first
    assert pvd.config.distillation.teacher == str(teacher.folder / "last.safetensors")
    assert pvd.config.distillation.method_config().supervoxel_size == (6, 6, 4)
    assert student.config.distillation is None
    assert (pretrained.config.seed, student.config.seed, pvd.config.seed) == (1, 1001, 1001)
    assert student.config.max_steps == pvd.config.max_steps == 3
    assert (teacher.config.model["width"], student.config.model["width"]) == (6, 4)
    assert set(pvd.needs) == {teacher.folder, pretrained.folder}


def test_chosen_rows_bring_what_they_need_and_nothing_else(tmp_path):
    plan = make_plan(read_grid(grid_file(tmp_path), ["seeds=[3]"]), "data", tmp_path, ["student"])
    assert [each.name for each in plan.runs] == ["seed3/pretrained", "seed3/student"]


def test_row_may_start_from_another_row_from_the_teacher_or_at_random(tmp_path):
    rows = [
        {"name": "pvd", "distillation": {}},
        {"name": "longer", "starts_from": "pvd", "settings": {"epochs": 10, "optimizer": {"learning_rate": 2e-4}}},
        {"name": "slice", "starts_from": "teacher", "distillation": {}},
        {"name": "plain_slice", "starts_from": "teacher"},
        {"name": "fresh", "starts_from": "random"},
    ]
    grid = read_grid(grid_file(tmp_path, rows=rows, reference=None), ["seeds=[0]"])
    runs = {each.row: each for each in make_plan(grid, "data", tmp_path).runs}
    longer = runs["longer"].config
    assert longer.initial_weights == str(runs["pvd"].folder / "last.safetensors")
    assert (longer.seed, longer.epochs, longer.optimizer.learning_rate) == (2000, 10, 2e-4)
    for row in ("slice", "plain_slice"):
        assert runs[row].config.initial_slice
        assert runs[row].config.initial_weights == str(runs["teacher"].folder / "last.safetensors")
    assert runs["fresh"].config.initial_weights is None
    assert runs["fresh"].needs == ()


def test_teacher_file_stands_in_for_trained_teachers(tmp_path):
    plan = make_plan(read_grid(grid_file(tmp_path, teacher={"weights": "t.st"})), "data", tmp_path)
    assert [each.weights for each in plan.runs if each.row == "teacher"] == ["t.st"]
    assert {each.config.distillation.teacher for each in plan.runs if each.row == "pvd"} == {"t.st"}
    plan = make_plan(read_grid(grid_file(tmp_path, teacher={"weights": "cylinder3d"})), "data", tmp_path)
    assert [each.weights for each in plan.runs if each.row == "teacher"] == [str(shipped_weights("cylinder3d"))]


def test_model_null_is_refused(tmp_path):
    settings = {"model": None, "initial_weights": "default"}
    with pytest.raises(UserError, match="model is null: a grid is planned before its weights are there; name a model"):
        make_plan(read_grid(grid_file(tmp_path, settings=settings)), "data", tmp_path)


def test_a_row_may_teach_the_rows_below_and_be_trained_once_for_all_seeds(tmp_path):
    rows = [
        {"name": "big", "once": True, "starts_from": "random", "settings": {"model": {"width": 6}}},
        {"name": "alone", "starts_from": "teacher", "teacher": "big"},
        {"name": "taught", "starts_from": "teacher", "teacher": "big", "compared_with": "alone", "distillation": {}},
    ]
    plan = make_plan(read_grid(grid_file(tmp_path, rows=rows, reference=None)), "data", tmp_path)
    assert [each.name for each in plan.runs] == [
        "seed0/big", "seed0/alone", "seed0/taught", "seed1/alone", "seed1/taught",
    ]  # fmt: skip
    weights = str(plan.runs[0].folder / "last.safetensors")
    for each in plan.runs[1:]:
        assert each.config.initial_weights == weights
        assert each.config.initial_slice
        assert each.needs == (plan.runs[0].folder,)
    assert plan.runs[2].config.distillation.teacher == weights
    assert [each.seed for each in plan.by_row["big"]] == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rowss": []}, "did you mean rows"),
        ({"rows": [{"name": "a", "distilation": {}}]}, "distilation"),
        ({"rows": [{"name": "a"}, {"name": "a"}], "reference": None}, "row 'a' is there twice"),
        ({"rows": [{"name": "a/b"}], "reference": None}, "must be no path"),
        ({"rows": [{"name": "a", "starts_from": "b"}], "reference": None}, "starts from 'b'"),
        ({"rows": [{"name": "teacher"}], "reference": None}, "shows: teacher"),
        ({"reference": "studnt"}, "reference is 'studnt'"),
        (
            {"rows": [{"name": "a", "teacher": "b"}, {"name": "b"}], "reference": None},
            "teacher is 'b': expected a row ab",
        ),
        ({"rows": [{"name": "a", "compared_with": "a"}], "reference": None}, "compared_with is 'a'"),
        ({"metric": "cars"}, "metric is 'cars'"),
        ({"groups": {"wheels": ["car", "cars"]}}, "expected a list of some of car"),
        ({"groups": {"wheels": []}}, "groups.wheels is"),
        ({"seeds": [1, 1]}, "each once"),
        ({"methods": {"pdv": {}}}, "methods names pdv"),
        ({"pretraining": None}, "pretraining is null"),
        ({"near_far": {"handling": "lost"}}, "handling is 'lost'"),
        ({"settings": {"max_step": 3}}, "row 'teacher'.*did you mean max_steps"),
        ({"student": {"learning_rate": 3}}, "did you mean optimizer.learning_rate"),
        ({"student": {"settings": {"max_steps": 3}}}, "'student.settings'; settings stand in student directly"),
        (
            {"max_steps": 3},
            "'max_steps'; it is a setting of trainings: give settings.max_steps for every run, ",
        ),
        ({"learning_rate": 3}, "give settings.optimizer.learning_rate for every run"),
        ({"teacher": {"max_steps": 3}}, "did you mean teacher.settings.max_steps"),
        ({"teacher": {"setings": {}}}, "did you mean teacher.settings"),
        ({"methods": {"kd": {"temperatur": 3}}}, "row 'methods.kd'.*did you mean distillation.settings.temperature"),
        ({"settings": {"max_minutes": 3}}, "max_minutes is 3"),
        ({"methods": {"pvd": {"supervoxels": 3}}}, "row 'pvd'.*unknown config key 'distillation.settings.supervoxels'"),
    ],
)
def test_mistakes_in_a_grid_file_are_named(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        make_plan(read_grid(grid_file(tmp_path, **changes)), "data", tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rows.pvd.settings.max_steps=3", "'rows' has no 'pvd'; it has fresh"),
        ("rows.fresh=3", "'rows' is a list: give a setting of one of its items"),
        ("seeds.fresh.settings=3", "'seeds' is a list, whose items have no names: change it in the file"),
        ("pretraining.max_stepz=3", "row 'pretrained'.*did you mean max_steps"),
        ("optimizer.learning_rate=1", "give settings.optimizer for every run"),
    ],
)
def test_overrides_beside_their_section_are_named(override, message, tmp_path):
    rows = [{"name": "fresh", "starts_from": "random"}]
    with pytest.raises(UserError, match=message):
        make_plan(read_grid(grid_file(tmp_path, rows=rows, reference=None), [override]), "data", tmp_path)


def test_a_row_is_changed_by_its_name_in_the_file_or_in_its_base(tmp_path):
    path = grid_file(tmp_path)
    first, second = (row.name for row in read_grid(path).rows if row.shows is None)
    override = f"rows.{second}.settings.max_steps=7"
    above = tmp_path / "above.yaml"
    above.write_text(f"base: {path.name}\ntitle: Above\n")
    for each in (path, above):
        rows = {row.name: row.settings for row in read_grid(each, [override]).rows}
        assert rows[second]["max_steps"] == 7
        assert "max_steps" not in rows[first]


def test_unknown_row_and_wrong_seeds_on_the_command_line_are_named(tmp_path, capsys):
    path = grid_file(tmp_path)
    assert run(command(path, tmp_path, tmp_path / "out", "--only", "kd")) == 2
    assert "no row 'kd'" in capsys.readouterr().err
    assert run(command(path, tmp_path, tmp_path / "out", "--seeds", "one")) == 2
    assert "--seeds is 'one'" in capsys.readouterr().err


# What other grids are laid over.
BASES = ("full", "full_unets", "cpu", "fair_base")


def test_every_shipped_grid_makes_a_plan_at_both_scales(project_root, tmp_path):
    paths = sorted((project_root / "config" / "ablations").glob("*.yaml"))
    grids = [path for path in paths if path.stem not in BASES]
    assert len(grids) >= 15
    for path in grids:
        # Those without a base have one scale only.
        for base in (
            (["base=full.yaml"], ["base=full_unets.yaml"], ["base=cpu.yaml"]) if read_yaml(path).get("base") else ([],)
        ):
            grid = read_grid(path, base)
            assert grid.name == path.stem
            assert make_plan(grid, "data", tmp_path).runs


# Grids with folders of their own.
OF_THEIR_OWN = ("m2skd_cpu", "multiscan_cpu", "fair", "fair_strengths")


def test_shipped_grids_may_share_a_folder(project_root, tmp_path):
    configs = {}
    for path in sorted((project_root / "config" / "ablations").glob("*.yaml")):
        if path.stem in (*BASES, *OF_THEIR_OWN) or not read_yaml(path).get("base"):
            continue
        for each in make_plan(read_grid(path, ["base=full.yaml"]), "data", tmp_path).runs:
            assert configs.setdefault(each.folder, each.config) == each.config, each.name


@pytest.mark.parametrize(("own", "inherited"), [(1.5, ["a"]), (["a"], 1.5)])
def test_notes_that_are_no_list_are_refused_wherever_they_stand(own, inherited, tmp_path):
    (tmp_path / "base.yaml").write_text(f"notes: {inherited}")
    with pytest.raises(UserError, match="notes"):
        read_grid(grid_file(tmp_path, base="base.yaml", notes=own))
