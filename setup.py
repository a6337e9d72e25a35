"""The ament_python package pvd_ros: four Python packages, their data, launch and config files, console scripts."""

import runpy
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NAME = "pvd_ros"
TRITON = 'triton>=3.3; platform_system == "Linux"'
SPCONV_TRITON = 'spconv-triton>=1.0; platform_system == "Linux"'
# Its wheels are for these alone; elsewhere nothing is simulated.
RAY_CASTER = 'embreex>=4.4; platform_machine in "x86_64 AMD64 arm64"'
HAS_SPCONV = 'platform_system == "Linux" and platform_machine == "x86_64"'

EXTRAS = {
    # Jazzy as wheels, for machines without a ROS 2; a machine with one sources its own instead.
    "ros": [
        "rosbags>=0.11.9",
        "mcap>=1.6",
        "ros-jazzy-rclpy[fastrtps]",
        "ros-jazzy-sensor-msgs",
        "ros-jazzy-std-msgs",
        "ros-jazzy-geometry-msgs",
        "ros-jazzy-nav-msgs",
        "ros-jazzy-diagnostic-msgs",
        "ros-jazzy-visualization-msgs",
    ],
    "train": ["lightning>=2.4", "torchmetrics>=1.4", "tensorboard>=2.14"],
    "sim": [RAY_CASTER],  # comes with the package where it has wheels
    "view": ["open3d>=0.18"],  # the window of `pvd view`
    "fleet": ["ray>=2.9", "pyarrow>=14"],  # `pvd label-bags` on many machines, its table of classes as Parquet
    "slam": ["kiss-icp>=1.2"],  # `pvd export --poses kiss-icp`, the trajectories of scripts.slam_trajectory
    "gpu": [
        TRITON,
        SPCONV_TRITON,
        f'spconv-cu120; python_version < "3.12" and {HAS_SPCONV}',
        f'spconv-cu126; python_version >= "3.12" and {HAS_SPCONV}',
    ],
    # For the CPU. Its modules have the names of those that `gpu` brings: one of the two, not both.
    "spconv": [f"spconv>=2.3.8; {HAS_SPCONV}"],
    "dev": [
        "pytest>=7",
        "pytest-xdist>=3",
        "pytest-timeout>=2.2",
        "hypothesis>=6",
        "ruff>=0.6",
        "mypy>=1.11",
        "types-PyYAML",
        "scipy>=1.10",
        TRITON,
        SPCONV_TRITON,  # its kernels run in Triton's interpreter
    ],
}


ENGINE = Path("pvd_core", "native", "engine.so")


class BuildEngine(build_ext):
    """Compiles the native engine where there is a C++ compiler. Without one the package installs all the same."""

    def run(self):
        build = runpy.run_path(str(ENGINE.with_name("build.py")))["try_to_build"]
        build(ENGINE.resolve() if self._is_in_place else Path(self.build_lib, ENGINE).resolve())

    def get_outputs(self):
        path = Path(self.build_lib, ENGINE)
        return [str(path)] if path.is_file() else []

    def get_output_mapping(self):
        return {}

    @property
    def _is_in_place(self):
        return bool(self.inplace or getattr(self, "editable_mode", False))


def shared_files(top):
    """(folder below share/, its files) of a folder of the source and each folder in it."""
    folders = [
        Path(top),
        *(path for path in sorted(Path(top).rglob("*")) if path.is_dir() and path.name[0] not in "_."),
    ]
    files = [(folder, sorted(str(path) for path in folder.iterdir() if path.is_file())) for folder in folders]
    return [(f"share/{NAME}/{folder}", paths) for folder, paths in files if paths]


setup(
    name=NAME,
    version="0.1.0",
    description="Semantic labels for every LiDAR point in ROS 2: Cylinder3D and point-to-voxel distillation",
    author="The pvd_ros authors",
    maintainer="The pvd_ros authors",
    maintainer_email="maintainers@pvd-ros.invalid",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["pvd_core*", "training*", "pvd_ros*", "pvd_cli*"]),
    package_data={"pvd_core": ["shipped/*.safetensors", "sparse/backends/*.json", "native/*.cpp", "native/*.h"]},
    ext_modules=[Extension("pvd_core.native.engine", [str(ENGINE.with_suffix(".cpp"))], optional=True)],
    cmdclass={"build_ext": BuildEngine},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *shared_files("launch"),
        *shared_files("config"),
    ],
    zip_safe=False,
    install_requires=[
        "torch>=2.4",
        "numpy>=1.23",
        "PyYAML>=5.4",
        "safetensors>=0.4",
        "typer>=0.12",
        "rich>=13",
        "rosbags>=0.11.9",
        "mcap>=1.6",
        "matplotlib>=3.5",
        RAY_CASTER,
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "pvd = pvd_cli.__main__:main",
            "segmenter_node = pvd_ros.node:main",
        ]
    },
)
