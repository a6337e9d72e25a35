"""A whole result for people: where it was measured, its tables, and what their columns mean."""

from pvd_cli.bench.tables import as_table, growth_table, layer_table, stage_table, training_table
from pvd_core.borders.wording import counted

_SECTIONS = {
    "rows": ("From points to labels", as_table),
    "stages": ("By stage", stage_table),
    "layers": ("By layer", layer_table),
    "growth": ("Growing clouds", growth_table),
    "batches": ("Growing batches", growth_table),
    "training": ("Training step", training_table),
}


def as_markdown(result):
    """Markdown of a result: `hardware`, `versions`, `runs`, tables by name, `skipped`, and where known `command`,
    `commit` and `incomplete`, the names of tables that an interrupt cut short or left out."""
    parts = [_where(result), _incomplete(result)]
    for name, (title, table) in _SECTIONS.items():
        if result.get(name):
            parts += [f"## {title}", table(result[name]), _legend(name, result[name])]
    parts += [f"Wrong results: {name}" for name in _faults(result.get("rows", []))]
    parts += dict.fromkeys(f"Not timed: {_skipped(entry)}" for entry in result["skipped"])
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(result):
    machine, versions = result["hardware"], result["versions"]
    words = [f"{machine['gpu']} (driver {machine['driver']})"] if machine["gpu"] else []
    words.append(f"{machine['cpu']}, {counted(machine['cores'], 'core')}")
    words += [f"{name} {version}" for name, version in versions.items() if version is not None]
    if result.get("commit"):
        words.append(f"commit {result['commit'][:12]}")
    lines = [", ".join(words)]
    if result.get("command"):
        lines.append(f"`{result['command']}`, {result['runs']} samples a row")
    return "\n\n".join(lines)


def _incomplete(result):
    titles = [_SECTIONS[name][0] for name in result.get("incomplete", ())]
    return (
        f"**Incomplete**: stopped before all was timed. Cut short or not begun: {', '.join(titles)}" if titles else ""
    )


def _legend(name, rows):
    if name == "rows":
        return (
            "Times in ms. median, p90, p99: from points to labels. network: the sparse U-Net in it, with its kernel "
            "maps; maps: those alone; floor: the U-Net's bare matrix products; /floor: network over floor. spconv/: "
            f"{_spconv_legend(rows)}. same %: share of the labels that are those of the first row. MB: peak memory."
        )
    if name == "layers":
        return "pairs: multiplied rows. GFLOP/s: two a multiply-accumulate. /floor: time over that of bare products."
    if name == "training":
        return "step: forward, losses and backward, no optimiser. inference: the network as labelling runs it."
    return ""


def _spconv_legend(rows):
    pairs = {(row["precision"], row["ratio_to_spconv_of"]) for row in rows if row["ratio_to_spconv_of"]}
    if not pairs:
        return "spconv was not timed"
    yardsticks = {of for _, of in pairs}
    which = yardsticks.pop() if len(yardsticks) == 1 else "; ".join(f"{own} by {of}" for own, of in sorted(pairs))
    return f"network time of spconv ({which}) over that of the row"


def _skipped(entry):
    names = ", ".join(str(entry[name]) for name in ("model", "backend", "precision"))
    return f"{names}: {entry['reason']}"


def _faults(rows):
    """What backends say of their own results, each once."""
    return dict.fromkeys(f"{row['backend']}: {row['known_fault']}" for row in rows if row.get("known_fault"))
