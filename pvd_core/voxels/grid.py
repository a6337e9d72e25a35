"""The cylindrical grid of Cylinder3D: radius rho, azimuth phi, height z.

P points. Bounds, cell sizes and the clamping of far points are those that the official data loader uses.
"""

import functools
from dataclasses import dataclass, fields

import torch

# The official bound is this truncated pi; cell borders depend on it.
_PHI_LIMIT = 3.1415926


@dataclass(frozen=True)
class CylindricalGrid:
    """A grid of `shape` (rho, phi, z) cells over `rho_range` (metres), all azimuths, `z_range` (metres).

    Points outside are not dropped: they are clamped into the border cells.
    """

    shape: tuple[int, int, int] = (480, 360, 32)
    rho_range: tuple[float, float] = (0.0, 50.0)
    z_range: tuple[float, float] = (-4.0, 2.0)

    @classmethod
    def from_settings(cls, settings):
        """A grid from a dictionary of any of its fields; ValueError says what does not fit."""
        known = [field.name for field in fields(cls)]
        for key, value in settings.items():
            if key not in known:
                raise ValueError(f"unknown grid setting {key!r}: expected {', '.join(known)}")
            if not isinstance(value, (list, tuple)) or not all(isinstance(number, (int, float)) for number in value):
                raise ValueError(f"grid {key} is {value!r}: expected a list of numbers")
        return cls(**settings)

    def __post_init__(self):
        # Fields may come from YAML or JSON as lists; equality and hashing want tuples.
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "rho_range", tuple(float(v) for v in self.rho_range))
        object.__setattr__(self, "z_range", tuple(float(v) for v in self.z_range))
        if len(self.shape) != 3 or min(self.shape) < 2:
            raise ValueError(f"grid shape {self.shape}: expected three sizes of at least 2")
        for name in ("rho_range", "z_range"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"grid {name} {getattr(self, name)}: expected two numbers")
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"grid {name} ({low}, {high}): the first must be below the second")

    @property
    def minimum(self):
        """Lowest (rho, phi, z) of the grid: metres, radians, metres."""
        return (self.rho_range[0], -_PHI_LIMIT, self.z_range[0])

    @property
    def maximum(self):
        return (self.rho_range[1], _PHI_LIMIT, self.z_range[1])

    @property
    def cell_size(self):
        """Cell edges (metres, radians, metres): the range over size - 1, as in the official code, so that the
        last index of an axis holds clamped points only."""
        return tuple(
            (high - low) / (size - 1) for low, high, size in zip(self.minimum, self.maximum, self.shape, strict=True)
        )

    def cylindrical(self, points_P3):
        """(rho, phi, z) of x, y, z in metres: float32 (P, 3)."""
        x, y, z = points_P3[:, 0], points_P3[:, 1], points_P3[:, 2]
        return torch.stack((torch.sqrt(x * x + y * y), torch.atan2(y, x), z), dim=1)

    def indices(self, cylindrical_P3):
        """Cell (rho, phi, z) of each point, int64 (P, 3). float64 inside: cell borders must fall where the official
        code puts them."""
        minimum, maximum, cell = _tensors(self, cylindrical_P3.device)
        position = cylindrical_P3.double().clamp(minimum, maximum) - minimum
        return torch.floor(position / cell).long()

    def centres(self, indices_P3):
        """Cell centres (rho, phi, z), float64 (P, 3)."""
        minimum, _, cell = _tensors(self, indices_P3.device)
        return (indices_P3.double() + 0.5) * cell + minimum


@functools.lru_cache(maxsize=64)
def _tensors(grid, device):
    """(minimum, maximum, cell size) of a grid, float64 (3,) each. Kept: copying them to a GPU waits for it."""
    # Tensors that are born in inference mode could not take part in training later.
    with torch.inference_mode(False):
        return tuple(
            torch.tensor(values, dtype=torch.float64, device=device)
            for values in (grid.minimum, grid.maximum, grid.cell_size)
        )
