"""The program `pvd`, also `python -m pvd_cli`: heeds Ctrl-C and SIGTERM before it imports what takes time."""

import sys

from pvd_cli.stops import catch_stops, stop_code


def main() -> None:
    catch_stops()
    try:
        from pvd_cli.main import run
    except (KeyboardInterrupt, SystemExit) as stop:
        sys.exit(stop_code(stop))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
