"""The weights that ship with the package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvd_cli.checks.finding import Finding
from pvd_core import SHIPPED_WEIGHTS, default_weights, shipped_weights
from pvd_core.borders.errors import UserError


def check_weights() -> list[Finding]:
    findings = [_found(f"weights {name}", shipped_weights(name)) for name in SHIPPED_WEIGHTS]
    if findings[0].is_present:
        from pvd_core.weights import expected_cloud, read_facts

        findings.append(Finding("expected cloud", True, str(expected_cloud(read_facts(default_weights())))))
    return findings


def _found(title: str, path: Path) -> Finding:
    from pvd_core.weights import past_scans_of, read_facts, taxonomy_of
    from pvd_core.weights.facts import DISTILLED_KEY

    try:
        facts = read_facts(path)
    except UserError as error:
        return Finding(title, False, str(error), "install the package anew, or give --weights")
    words, past = [_in_words(facts["model"])], past_scans_of(facts).past
    if past:
        words.append(f"{len(taxonomy_of(facts).names) - 1} classes, {past} past scans")
    if taught := facts.get(DISTILLED_KEY):
        teachers = [_in_words(each["model"]) for each in (taught["teacher"], *taught.get("committee", ()))]
        words.append(f"distilled by {str(taught['method']).upper()} from {' and '.join(teachers)}")
        if "until_step" in taught and taught["until_step"] < facts.get("step", 0):
            words[-1] += f" in the first {taught['until_step']} of {facts['step']} steps"
    return Finding(title, True, f"{', '.join(words)} ({path.stat().st_size / 1e6:.1f} MB)")


def _in_words(model: Mapping[str, Any]) -> str:
    names = ["architecture", "width", "channel_ratio", "kernels"]
    if plan := model.get("plan"):  # it names the channels of each layer
        names.remove("channel_ratio")
    words = [f"{name} {model[name]}" for name in names if name in model]
    if plan:
        words.append(f"{sum(len(stage['blocks']) for stage in (*plan['down'], *plan['up']))} residual blocks")
    return ", ".join(words)
