"""Sites of grids of any extent looked up by the library, in a sorted list of their columns. V sites, N cells."""

import ctypes

import torch

from pvd_core.native.library import load

_Triple = tuple[int, int, int]


class _SortedColumns(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("keys", "first", "heights", "occupied")),
        ("count", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("batch_size", "size_0", "size_1", "size_2")),
    ]


class NativeSortedCells:
    """Looks up sites by their cells, as CellTable (pvd_core/sparse/cell_table.py); it takes at most 24 bytes a
    site. Grids have fewer than 2^31 cells along z."""

    def __init__(self, coords_V4: torch.Tensor, shape: _Triple, batch_size: int) -> None:
        coords_V4 = coords_V4.contiguous()
        self._keys, self._occupied = torch.empty(2, len(coords_V4), dtype=torch.int64)
        self._first, self._heights = torch.empty(2, len(coords_V4) + 1, dtype=torch.int32)
        tensors = self._keys, self._first, self._heights, self._occupied
        columns = _SortedColumns(*(tensor.data_ptr() for tensor in tensors), 0, batch_size, *shape)
        self._pointer = ctypes.byref(columns)
        load().pvd_list_columns(self._pointer, coords_V4.data_ptr(), len(coords_V4))

    def look_up(self, centres_V4: torch.Tensor, stride: _Triple) -> torch.Tensor:
        """As CellTable.look_up; fastest for sorted centres."""
        return self._tap_rows(centres_V4, stride, is_back=False)

    def look_back(self, cells_V4: torch.Tensor, stride: _Triple) -> torch.Tensor:
        """As NativeCells.look_back (pvd_core/native/cells.py)."""
        return self._tap_rows(cells_V4, stride, is_back=True)

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """As CellTable.find."""
        coords_N4 = coords_N4.contiguous()
        rows_N = torch.empty(len(coords_N4), dtype=torch.int64)
        cells = coords_N4.data_ptr(), len(coords_N4), rows_N.data_ptr()
        load().pvd_find_sorted(self._pointer, *cells, torch.get_num_threads())
        return rows_N

    def _tap_rows(self, coords_N4: torch.Tensor, stride: _Triple, is_back: bool) -> torch.Tensor:
        coords_N4 = coords_N4.contiguous()
        rows_JN = torch.empty(9, len(coords_N4), dtype=torch.int32)
        cells = coords_N4.data_ptr(), len(coords_N4), (ctypes.c_int64 * 3)(*stride)
        load().pvd_look_up_sorted(self._pointer, *cells, is_back, rows_JN.data_ptr(), torch.get_num_threads())
        return rows_JN


def blocks(coords_V4: torch.Tensor, stride: _Triple) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(coords int64 (C, 4) of the blocks of `stride` cells, 1 or 2 an axis, that hold sites; the block of each site and
    its place there, int64 (V,)). `coords_V4` int64: distinct, sorted."""
    coords_V4 = coords_V4.contiguous()
    blocks_V4 = torch.empty_like(coords_V4)
    block_of_site_V, tap_of_site_V = torch.empty(2, len(coords_V4), dtype=torch.int64)
    tensors = blocks_V4, block_of_site_V, tap_of_site_V
    count = load().pvd_find_blocks(
        coords_V4.data_ptr(),
        len(coords_V4),
        (ctypes.c_int64 * 3)(*stride),
        *(tensor.data_ptr() for tensor in tensors),
    )
    return blocks_V4[:count].clone(), block_of_site_V, tap_of_site_V


def block_rows(
    block_of_site_V: torch.Tensor, tap_of_site_V: torch.Tensor, num_blocks: int, num_taps: int, is_back: bool
) -> torch.Tensor:
    """Tap rows (pvd_core/sparse/tap_rows.py), of one tap each: of the map to the blocks, int32 (K, C), or of the one
    back to the sites, in reverse order of the taps, int32 (K, V)."""
    block_of_site_V, tap_of_site_V = block_of_site_V.contiguous(), tap_of_site_V.contiguous()
    num_sites = len(block_of_site_V)
    rows_KN = torch.empty(num_taps, num_sites if is_back else num_blocks, dtype=torch.int32)
    sizes = num_sites, num_blocks, num_taps, is_back
    load().pvd_block_rows(block_of_site_V.data_ptr(), tap_of_site_V.data_ptr(), *sizes, rows_KN.data_ptr())
    return rows_KN


def fits(shape: _Triple) -> bool:
    """Whether heights can be held in numbers of 32 bits."""
    return shape[2] < 1 << 31
