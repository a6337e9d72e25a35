"""`pvd convert`: official checkpoints to our weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

_TORCHSPARSE = "torchsparse"


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Official checkpoint (.pt).")],
    output: Annotated[Path, typer.Argument(help="Weights to write (.safetensors).")],
    layout: Annotated[
        str,
        typer.Option(
            help="How the convolution weights lie: spconv1 or spconv2 (Cylinder3D, PVKD), torchsparse (the others)."
        ),
    ],
    kernels: Annotated[
        str | None, typer.Option(help="Of Cylinder3D: as_trained (the official releases) or as_written.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="With torchsparse: minkunet, spvcnn or spvnas.")] = None,
    net_config: Annotated[
        Path | None, typer.Option(help="Of SPVNAS: the published net.config, which says what was searched.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="What it was trained on: semantickitti, or semantickitti-multiscan with its 25 classes.")
    ] = "semantickitti",
) -> None:
    """Turn an official checkpoint into our weights.

    Every key and shape is checked. The file is read without running code from it. Widths are read from its tensors, or
    from the net.config; classes and grid are those of --dataset. Checkpoints of nuScenes and Waymo, which have other
    classes, are refused.

    \b
    Examples:
      pvd convert cyl_sem_1.0x_71_8.pt cylinder3d.safetensors --layout spconv1 --kernels as_trained
      pvd convert cyl_ms.pt moving.safetensors --layout spconv1 --kernels as_trained --dataset semantickitti-multiscan
      pvd convert mine.pt mine.safetensors --layout spconv2 --kernels as_written
      pvd convert spvcnn/init spvcnn.safetensors --layout torchsparse --architecture spvcnn
      pvd convert init spvnas.safetensors --layout torchsparse --architecture spvnas --net-config net.config
    """
    from pvd_cli.new_weights import check_new_weights

    check_new_weights(output)
    facts = (
        _from_torchsparse(checkpoint, output, architecture, net_config, kernels, dataset)
        if layout == _TORCHSPARSE
        else _from_spconv(checkpoint, output, layout, kernels, architecture or net_config, dataset)
    )
    model = {**facts["model"], **({"plan": "of the net.config"} if "plan" in facts["model"] and net_config else {})}
    settings = ", ".join(f"{key} {value}" for key, value in model.items())
    print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB): {settings}")


def _from_spconv(
    checkpoint: Path, output: Path, layout: str, kernels: str | None, of_torchsparse: object, dataset: str
) -> dict[str, Any]:
    from pvd_core.borders.errors import UserError
    from pvd_core.weights.convert import LAYOUTS, convert_checkpoint

    if layout not in LAYOUTS:
        raise UserError(f"--layout {layout}: expected one of {', '.join((*LAYOUTS, _TORCHSPARSE))}")
    if of_torchsparse is not None:
        raise UserError(f"--architecture and --net-config go with --layout {_TORCHSPARSE}, not with {layout}")
    if kernels is None:
        raise UserError(f"--layout {layout} needs --kernels: as_trained for the official releases, or as_written")
    return convert_checkpoint(checkpoint, output, layout=layout, kernels=kernels, dataset=dataset)


def _from_torchsparse(
    checkpoint: Path,
    output: Path,
    architecture: str | None,
    net_config: Path | None,
    kernels: str | None,
    dataset: str,
) -> dict[str, Any]:
    from pvd_core.borders.errors import UserError
    from pvd_core.weights.convert_unets import ARCHITECTURES, convert_unet

    if dataset != "semantickitti":
        raise UserError(f"--dataset {dataset}: of these networks only checkpoints of semantickitti are supported")
    if architecture is None:
        raise UserError(f"--layout {_TORCHSPARSE} needs --architecture: one of {', '.join(ARCHITECTURES)}")
    if kernels is not None:
        raise UserError("--kernels is for checkpoints of Cylinder3D: leave it out")
    return convert_unet(checkpoint, output, architecture, net_config)
