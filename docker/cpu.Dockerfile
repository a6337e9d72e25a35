# The node for CPUs on ROS 2 Jazzy. From the root of the repository:
#   docker build -f docker/cpu.Dockerfile -t pvd_ros:cpu .
#   docker run --rm --net=host --ipc=host --user $(id -u) pvd_ros:cpu topic:=/lidar/points
# --ipc=host shares the memory over which Fast DDS sends large clouds; without it: --shm-size=512m.
# --user: that of the driver, here yours: it delivers only between processes of one user (docs/ros2.md, Middleware settings).
FROM ros:jazzy-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends \
    g++ python3-venv python3-colcon-common-extensions util-linux \
    ros-jazzy-sensor-msgs ros-jazzy-diagnostic-msgs ros-jazzy-visualization-msgs ros-jazzy-nav-msgs ros-jazzy-tf2-msgs \
    && rm -rf /var/lib/apt/lists/*

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir torch --index-url "$TORCH_INDEX" \
    && /opt/venv/bin/pip install --no-cache-dir "numpy<2" safetensors typer rich rosbags mcap
ENV PATH=/opt/venv/bin:$PATH

COPY . /ws/src/pvd_ros
WORKDIR /ws
RUN . /opt/ros/jazzy/setup.sh && python -m colcon build --packages-select pvd_ros && rm -rf build log

# A user of its own: the node needs no rights.
RUN useradd --create-home segmenter
USER segmenter
# For the user of --user too, who has no home here: the log, caches.
ENV HOME=/tmp USER=segmenter
ENTRYPOINT ["/bin/bash", "-c", "source /ws/install/setup.bash && exec ros2 launch pvd_ros segment.launch.py \"$@\"", "--"]
