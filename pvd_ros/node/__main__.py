"""`python -m pvd_ros.node` is `segmenter_node`."""

import sys

from pvd_ros.node import main

if __name__ == "__main__":
    sys.exit(main())
