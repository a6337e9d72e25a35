"""Kernel maps, voxels and reductions over their points by the library: as torch's code beside each caller, to the bit
but for the sign of zeros.

V sites or voxels, N centres, P points, C channels.
"""

import ctypes
import math
from collections.abc import Callable, Sequence

import torch

from pvd_core.native import library
from pvd_core.native.library import load

# A column's occupied cells are the bits of one number.
MOST_CELLS_A_COLUMN = 64
MOST_CLASSES = 256
_Triple = tuple[int, int, int]


class _Columns(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("first", "occupied")),
        *((name, ctypes.c_int64) for name in ("batch_size", "size_0", "size_1", "size_2")),
    ]


class _Grid(ctypes.Structure):
    _fields_ = [(name, ctypes.c_double * 3) for name in ("minimum", "maximum", "cell")]


class _Voxelisation(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("points", "cylindrical", "scans", "features")),
        *((name, ctypes.c_void_p) for name in ("column_of_point", "point_to_voxel")),
        ("num_points", ctypes.c_int64),
        ("grid", _Grid),
        ("borders", ctypes.c_void_p),
    ]


class _ColumnTable:
    """The occupied cells of a bounded grid, column by column; 12 bytes a column."""

    def __init__(self, shape: _Triple, batch_size: int) -> None:
        num_columns = batch_size * shape[0] * shape[1]
        self._first = torch.empty(num_columns + 1, dtype=torch.int32)
        self._occupied = torch.zeros(num_columns, dtype=torch.int64)
        columns = _Columns(self._first.data_ptr(), self._occupied.data_ptr(), batch_size, *shape)
        self.pointer = ctypes.byref(columns)


class NativeCells:
    """Looks up sites by their cells, as CellTable (pvd_core/sparse/cell_table.py)."""

    def __init__(self, coords_V4: torch.Tensor, shape: _Triple, batch_size: int) -> None:
        coords_V4 = coords_V4.contiguous()
        self._table, self._batch_size = _ColumnTable(shape, batch_size), batch_size
        load().pvd_columns(self._table.pointer, coords_V4.data_ptr(), len(coords_V4))

    def look_up(self, centres_V4: torch.Tensor, stride: _Triple) -> torch.Tensor:
        """As CellTable.look_up."""
        return self._tap_rows(centres_V4, stride, is_back=False)

    def look_back(self, cells_V4: torch.Tensor, stride: _Triple) -> torch.Tensor:
        """Of a table of coarse sites: the tap rows, int32 (9, V), of the transposed map from them back to fine cells,
        in reverse order of the taps."""
        return self._tap_rows(cells_V4, stride, is_back=True)

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """As CellTable.find."""
        coords_N4 = coords_N4.contiguous()
        rows_N = torch.empty(len(coords_N4), dtype=torch.int64)
        cells = coords_N4.data_ptr(), len(coords_N4), rows_N.data_ptr()
        load().pvd_find(self._table.pointer, *cells, torch.get_num_threads())
        return rows_N

    def coarse_coords(self, stride: _Triple, shape: _Triple) -> torch.Tensor:
        """As CellTable.coarse_coords."""
        coarse = _ColumnTable(shape, self._batch_size)
        num_sites = load().pvd_coarsen(self._table.pointer, _longs(stride), coarse.pointer, torch.get_num_threads())
        coords_V4 = torch.empty(num_sites, 4, dtype=torch.int64)
        load().pvd_list(coarse.pointer, coords_V4.data_ptr())
        return coords_V4

    def _tap_rows(self, coords_N4: torch.Tensor, stride: _Triple, is_back: bool) -> torch.Tensor:
        coords_N4 = coords_N4.contiguous()
        rows_JN = torch.empty(9, len(coords_N4), dtype=torch.int32)
        load().pvd_look_up(
            self._table.pointer,
            coords_N4.data_ptr(),
            len(coords_N4),
            _longs(stride),
            is_back,
            rows_JN.data_ptr(),
            torch.get_num_threads(),
        )
        return rows_JN


def voxelise(
    points_P4: torch.Tensor,
    cylindrical_P3: torch.Tensor,
    scan_of_point_P: torch.Tensor,
    bounds: Sequence[Sequence[float]],
    shape: _Triple,
    batch_size: int,
    borders_R: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(features float32 (P, 9), coords int64 (V, 4), voxel of each point int64 (P,), points of each voxel int64 (V,)).
    Points are float32; `bounds` are the grid's minimum, maximum and cell size. `borders_R` float64: the radii between
    which its cells along rho lie, where these are not of one size."""
    points_P4, cylindrical_P3 = points_P4.contiguous(), cylindrical_P3.contiguous()
    scans_P = scan_of_point_P.int().contiguous()
    num_points = len(points_P4)
    features_P9 = torch.empty(num_points, 9, dtype=torch.float32)
    column_P, voxel_P = torch.empty(2, num_points, dtype=torch.int64)
    table = _ColumnTable(shape, batch_size)
    grid = _Grid(*((ctypes.c_double * 3)(*values) for values in bounds))
    tensors = points_P4, cylindrical_P3, scans_P, features_P9, column_P, voxel_P
    borders = None if borders_R is None else borders_R.data_ptr()
    call = _Voxelisation(*(tensor.data_ptr() for tensor in tensors), num_points, grid, borders)
    num_voxels = load().pvd_occupy(ctypes.byref(call), table.pointer, torch.get_num_threads())
    coords_V4 = torch.empty(num_voxels, 4, dtype=torch.int64)
    load().pvd_list(table.pointer, coords_V4.data_ptr())
    num_points_V = torch.zeros(num_voxels, dtype=torch.int64)
    load().pvd_assign(ctypes.byref(call), table.pointer, num_points_V.data_ptr())
    return features_P9, coords_V4, voxel_P, num_points_V


def occupied(
    scan_P: torch.Tensor, indices_P3: torch.Tensor, shape: Sequence[int], cell_bits: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `occupied_cells` (pvd_core/voxels/occupied.py), of cells whose numbers are below 2^cell_bits. These bits and
    those that number the points are 64 at most."""
    scan_P, indices_P3, num_points = scan_P.contiguous(), indices_P3.contiguous(), len(scan_P)
    assert scan_P.dtype == indices_P3.dtype == torch.int64
    assert indices_P3.shape == (num_points, 3)
    assert cell_bits + num_points.bit_length() <= 64
    space_2P, coords_P4 = (torch.empty(num_points, size, dtype=torch.int64) for size in (2, 4))
    cell_P, counts_P = torch.empty(2, num_points, dtype=torch.int64)
    num_cells = load().pvd_occupied(
        *(scan_P.data_ptr(), indices_P3.data_ptr(), num_points, _longs(shape), cell_bits, num_points.bit_length()),
        *(tensor.data_ptr() for tensor in (space_2P, coords_P4, cell_P, counts_P)),
    )
    return coords_P4[:num_cells].clone(), cell_P, counts_P[:num_cells].clone()


def maximum(features_PC: torch.Tensor, point_to_voxel_P: torch.Tensor, num_voxels: int) -> torch.Tensor:
    """Maximum of each channel over the points of each voxel, (V, C), float32; -inf where a voxel has
    none."""
    result_VC = torch.empty(num_voxels, features_PC.shape[1], dtype=torch.float32)
    _over_points(load().pvd_maximum, features_PC, point_to_voxel_P, num_voxels, result_VC)
    return result_VC


def maximum_gradient(
    features_PC: torch.Tensor, point_to_voxel_P: torch.Tensor, result_VC: torch.Tensor, grad_VC: torch.Tensor
) -> torch.Tensor:
    """The gradient for the features, float32 (P, C), from `grad_VC` for what `maximum` gave: points that share the
    maximum share its gradient equally."""
    grad_PC = torch.empty(features_PC.shape, dtype=torch.float32)
    tensors = result_VC.contiguous(), grad_VC.contiguous(), grad_PC
    _over_points(load().pvd_maximum_gradient, features_PC, point_to_voxel_P, len(result_VC), *tensors)
    return grad_PC


def moments(
    points_PF: torch.Tensor, point_to_voxel_P: torch.Tensor, num_voxels: int, size: float, steps: int, most: float
) -> torch.Tensor:
    """As moments_of_points (pvd_core/voxels/moments.py), whose constants `steps` and `most` are; of voxels that have
    points."""
    result_V8 = torch.empty(num_voxels, 8, dtype=torch.float32)
    numbers = size, steps, most
    _over_points(load().pvd_moments, points_PF, point_to_voxel_P, num_voxels, result_V8, numbers=numbers)
    return result_V8


def _over_points(
    function: Callable[..., None],
    features_PC: torch.Tensor,
    point_to_voxel_P: torch.Tensor,
    num_voxels: int,
    *more: torch.Tensor,
    numbers: Sequence[float] = (),
) -> None:
    """Calls a function of the library that goes over the points of each voxel; it takes `numbers` last."""
    features_PC, point_to_voxel_P = features_PC.contiguous(), point_to_voxel_P.contiguous()
    num_points, channels = features_PC.shape
    assert (point_to_voxel_P.dtype, len(point_to_voxel_P)) == (torch.int64, num_points)
    lowest, highest = map(int, torch.aminmax(point_to_voxel_P)) if num_points else (0, -1)
    if lowest < 0 or highest >= num_voxels:  # the library would write beside its tables
        raise IndexError(f"points lie in voxels that are none of the {num_voxels}")
    spaces = torch.empty(num_voxels + 1, dtype=torch.int64), torch.empty(num_points, dtype=torch.int64)
    function(
        *(features_PC.data_ptr(), point_to_voxel_P.data_ptr(), num_points, channels, num_voxels),
        *(tensor.data_ptr() for tensor in (*spaces, *more)),
        *numbers,
        torch.get_num_threads(),
    )


def labels(scores_NC: torch.Tensor, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(uint8 (N,), the best class from 1 on; float32 (N,), its probability among these, the softmax of scores divided
    by `temperature`). `scores_NC` float32 with 2 to 256 channels."""
    scores_NC = scores_NC.contiguous()
    num_rows, channels = scores_NC.shape
    labels_N, confidence_N = torch.empty(num_rows, dtype=torch.uint8), torch.empty(num_rows, dtype=torch.float32)
    load().pvd_labels(
        *(scores_NC.data_ptr(), num_rows, channels, 1 / temperature),
        *(labels_N.data_ptr(), confidence_N.data_ptr(), torch.get_num_threads()),
    )
    return labels_N, confidence_N


def is_usable_for(tensor: torch.Tensor) -> bool:
    """Whether the library is there and reads this tensor: float32 on the CPU."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and library.status()[0]


def fits(shape: Sequence[int]) -> bool:
    """Whether a grid's columns can be held in numbers, and its cells be counted."""
    return shape[2] <= MOST_CELLS_A_COLUMN and math.prod(shape[:2]) < 1 << 28


def _longs(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)
