"""`pvd convert`: official checkpoints to our weights."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Official Cylinder3D or PVKD checkpoint (.pt).")],
    output: Annotated[Path, typer.Argument(help="Weights to write (.safetensors).")],
    layout: Annotated[str, typer.Option(help="Axis order of the convolution weights: spconv1 or spconv2.")],
    kernels: Annotated[str, typer.Option(help="as_trained (the official releases) or as_written.")],
    dataset: Annotated[
        str, typer.Option(help="What it was trained on: semantickitti, or semantickitti-multiscan with its 25 classes.")
    ] = "semantickitti",
) -> None:
    """Turn an official checkpoint into our weights.

    Every key and shape is checked. The file is read without running code from it. Widths are read from its tensors;
    classes and grid are those of --dataset. Checkpoints of nuScenes and Waymo, which have other classes, are refused.

    \b
    Examples:
      pvd convert cyl_sem_1.0x_71_8.pt cylinder3d.safetensors --layout spconv1 --kernels as_trained
      pvd convert cyl_ms.pt moving.safetensors --layout spconv1 --kernels as_trained --dataset semantickitti-multiscan
      pvd convert mine.pt mine.safetensors --layout spconv2 --kernels as_written
    """
    from pvd_cli.new_weights import check_new_weights
    from pvd_core.weights.convert import convert_checkpoint

    check_new_weights(output)
    facts = convert_checkpoint(checkpoint, output, layout=layout, kernels=kernels, dataset=dataset)
    settings = ", ".join(f"{key} {value}" for key, value in facts["model"].items())
    print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB): {settings}")
