"""The weights that ship with the package."""

from pvd_cli.checks.finding import Finding
from pvd_core import default_weights
from pvd_core.borders.errors import UserError


def check_weights() -> list[Finding]:
    path = default_weights()
    try:
        from pvd_core.weights import expected_cloud, read_facts

        facts = read_facts(path)
    except UserError as error:
        return [Finding("default weights", False, str(error), "install the package anew, or give --weights")]
    model = facts["model"]
    described = ", ".join(f"{key} {model[key]}" for key in ("architecture", "width", "kernels") if key in model)
    return [
        Finding("default weights", True, f"{described} ({path.stat().st_size / 1e6:.1f} MB)"),
        Finding("expected cloud", True, str(expected_cloud(facts))),
    ]
