"""The Open3D window of `pvd view`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open3d

from pvd_cli.view.state import KEYS, ViewState
from pvd_core.borders.errors import UserError

_WIDTH, _HEIGHT, _POINT_SIZE = 1600, 1000, 2.0
_NO_WINDOW = "no window could be opened: this machine has no display; --png FOLDER writes pictures instead"
_BACKGROUND = (0.063, 0.078, 0.094)


def show(state: ViewState, save_picture: Callable[[ViewState], Path]) -> None:
    """Opens the window and returns when it is closed. UserError if there is no display.

    save_picture(state): called for the key P, returns the path that it wrote.
    """
    # Without a display Open3D would wait for keys in a window that nobody sees.
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(_NO_WINDOW)
    window = open3d.visualization.VisualizerWithKeyCallback()
    if not window.create_window("pvd view", _WIDTH, _HEIGHT):
        raise UserError(_NO_WINDOW)
    cloud = open3d.geometry.PointCloud()
    _fill(cloud, state)
    window.add_geometry(cloud)
    options = window.get_render_option()
    options.background_color, options.point_size = np.array(_BACKGROUND), _POINT_SIZE
    _look_from_behind(window)

    def pressed(key: str) -> Callable[[Any], bool]:
        def react(_window: Any) -> bool:
            if key == "P":
                print(f"wrote {save_picture(state)}", flush=True)
                return False
            state.press(key)
            _fill(cloud, state)
            print(state.title, flush=True)
            return window.update_geometry(cloud)

        return react

    for key in KEYS:
        if key != "Q":  # Open3D handles this one
            window.register_key_callback(ord(key), pressed(key))
    print("; ".join(f"{key}: {what}" for key, what in KEYS.items()))
    print(state.title, flush=True)
    window.run()
    window.destroy_window()


def _fill(cloud: Any, state: ViewState) -> None:
    points = state.scan.points[:, :3].astype(np.float64)
    is_finite = np.isfinite(points).all(axis=1)
    cloud.points = open3d.utility.Vector3dVector(points[is_finite])
    cloud.colors = open3d.utility.Vector3dVector(state.colours()[is_finite])


def _look_from_behind(window: Any) -> None:
    view = window.get_view_control()
    view.set_lookat((8.0, 0.0, 0.0))
    view.set_front((-0.75, 0.0, 0.66))
    view.set_up((0.0, 0.0, 1.0))
    view.set_zoom(0.12)
