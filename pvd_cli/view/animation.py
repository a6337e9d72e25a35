"""A drive as an animated GIF: each scan in the colours of its labels, seen from behind and above the sensor.

N points, H x W pixels.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pvd_core.borders.files import written_atomically
from pvd_core.clouds.measured import is_measured

WIDTH, HEIGHT = 640, 360
_EYE_M = np.array((-14.0, 0.0, 9.0))
_LOOKS_AT_M = np.array((14.0, 0.0, -1.0))
_FOCAL_PIXELS = 420.0
_NEAREST_M = 1.0
_BACKGROUND = (16, 20, 24)
# Points farther than this are drawn as squares of this many pixels.
_SIZES = ((45.0, 1), (22.0, 2), (12.0, 3), (0.0, 4))
_LEGEND_HEIGHT, _LEGEND_GAP = 14, 12


def save_animation(
    path: str | Path,
    frames: Iterable[tuple[np.ndarray, np.ndarray]],
    legend: Mapping[str, np.ndarray],
    frames_a_second: float = 10.0,
) -> int:
    """Writes the frames, (points float32 (N, 4) in the sensor's frame, RGB (N, 3) in 0..1), as a GIF that repeats for
    ever, with a `legend` {name: RGB in 0..1} below. Returns the number of frames; ValueError if there is none."""
    palette = _palette(legend)
    pictures = [_with_legend(draw(points, colours), legend).quantize(palette=palette, dither=Image.Dither.NONE)
                for points, colours in frames]  # fmt: skip
    if not pictures:
        raise ValueError("an animation needs at least one frame")
    with written_atomically(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], loop=0, optimize=False,
            duration=round(1000 / frames_a_second),
        )  # fmt: skip
    return len(pictures)


def draw(points: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): points, float32 (N, 4), in RGB colours (N, 3) of 0..1; what is not measured is left out."""
    picture = np.full((HEIGHT, WIDTH, 3), _BACKGROUND, np.uint8)
    is_shown = is_measured(points)
    depth, column, row = _project(points[is_shown, :3])
    colours = np.round(255 * colours[is_shown]).astype(np.uint8)
    # The nearest last, because later points cover earlier ones.
    order = np.argsort(-depth, kind="stable")
    order = order[depth[order] > _NEAREST_M]
    begin = 0
    for nearest, size in _SIZES:
        end = int(np.searchsorted(-depth[order], -nearest))
        _squares(picture, column[order[begin:end]], row[order[begin:end]], colours[order[begin:end]], size)
        begin = end
    return picture


def _project(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth in metres, column and row in pixels, of points (N, 3)."""
    ahead = (_LOOKS_AT_M - _EYE_M) / np.linalg.norm(_LOOKS_AT_M - _EYE_M)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    along = (xyz - _EYE_M) @ np.stack((ahead, right, np.cross(right, ahead)), axis=1)
    depth = along[:, 0]
    scale = _FOCAL_PIXELS / np.maximum(depth, _NEAREST_M)
    return depth, (WIDTH / 2 + scale * along[:, 1]).astype(int), (HEIGHT / 2 - scale * along[:, 2]).astype(int)


def _squares(picture: np.ndarray, column: np.ndarray, row: np.ndarray, colours: np.ndarray, size: int) -> None:
    for down in range(size):
        for right in range(size):
            at_row, at_column = row + down, column + right
            inside = (at_row >= 0) & (at_row < HEIGHT) & (at_column >= 0) & (at_column < WIDTH)
            picture[at_row[inside], at_column[inside]] = colours[inside]


def _palette(legend: Mapping[str, np.ndarray]) -> Image.Image:
    """The background, white and the legend's colours: few colours make a small file."""
    colours = [_BACKGROUND, (255, 255, 255), *(tuple(np.round(255 * rgb).astype(int)) for rgb in legend.values())]
    palette = Image.new("P", (1, 1))
    palette.putpalette([int(channel) for colour in colours for channel in colour])
    return palette


def _with_legend(picture: np.ndarray, legend: Mapping[str, np.ndarray]) -> Image.Image:
    lines = _lines(legend)
    image = Image.new("RGB", (WIDTH, HEIGHT + _LEGEND_HEIGHT * len(lines) + 4), _BACKGROUND)
    image.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1"  # no grey between letters and background
    for number, line in enumerate(lines):
        left, top = _LEGEND_GAP, HEIGHT + _LEGEND_HEIGHT * number + 2
        for name in line:
            colour = tuple(int(channel) for channel in np.round(255 * legend[name]))
            pen.rectangle((left, top + 2, left + 8, top + 10), fill=colour)
            pen.text((left + 12, top), name, fill="white")
            left += 12 + int(pen.textlength(name)) + _LEGEND_GAP
    return image


def _lines(legend: Mapping[str, np.ndarray]) -> list[list[str]]:
    """The names, by lines that they fit into."""
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines: list[list[str]] = []
    left = WIDTH
    for name in legend:
        width = 12 + int(pen.textlength(name)) + _LEGEND_GAP
        if left + width > WIDTH - _LEGEND_GAP:
            lines.append([])
            left = _LEGEND_GAP
        lines[-1].append(name)
        left += width
    return lines
