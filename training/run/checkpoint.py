"""The state from which a killed run continues bit for bit. Writing never leaves a damaged file."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically

FORMAT = 1
WAY_ON = (
    "copy it again from a backup, or start a new run, from the last weights of this one with "
    "--set initial_weights=RUN/last.safetensors"
)
"""What to do about a checkpoint that cannot be used."""


def random_states() -> dict[str, Any]:
    """States of the global generators of python, numpy and torch, in types that a checkpoint may hold."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Puts the generators into states that `random_states` gave."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Writes `state`, nested containers of tensors, numbers and text. If that fails, as on a full disk (UserError), or
    the process is killed, the old file stays as it was."""
    content = io.BytesIO()
    torch.save({"format": FORMAT, **state}, content)
    write_atomically(path, content.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote; UserError for a damaged file and for one of another version."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # torch has many exception types for damaged files, and its advice (other ways to load them) would run their code.
    except Exception as error:
        raise UserError(
            f"checkpoint {path} is damaged, or no checkpoint of pvd ({len(content):,} bytes): {WAY_ON}"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise UserError(f"checkpoint {path} has format {found}: expected {FORMAT}; it is of another version of pvd")
    return state
